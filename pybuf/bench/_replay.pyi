from typing import Final

from _typeshed import ReadableBuffer, WriteableBuffer
from typing_extensions import disjoint_base

KINDS: Final[tuple[str, ...]]
TOUCHES: Final[tuple[str, ...]]
MARK_BYTES: Final[int]
HISTOGRAM_BYTES: Final[int]
EMPTY_BYTES: Final[int]

@disjoint_base
class Lane:
    """One thread's words and what they act on."""

    @property
    def count(self) -> int: ...
    def __init__(
        self,
        functions: tuple[int | None, ...],
        words: ReadableBuffer,
        slots: WriteableBuffer,
        marks: WriteableBuffer | None,
        alignments: ReadableBuffer | None = None,
        counts: WriteableBuffer | None = None,
    ) -> None: ...
    def play(
        self, first: int, last: int, kind: str, touch: str, is_gil_held: bool = False, repeats: int = 1
    ) -> int: ...

@disjoint_base
class Profile:
    """What words amount to that are fed in parts, one after the other; nothing of a part is kept."""

    @property
    def events(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def live_bytes(self) -> int: ...
    @property
    def peak_live_bytes(self) -> int: ...
    @property
    def peak_word(self) -> int: ...
    @property
    def operations(self) -> int: ...
    @property
    def largest(self) -> int: ...
    def feed(self, words: ReadableBuffer, first: int, last: int) -> None: ...

def replay(
    functions: tuple[int | None, ...],
    words: ReadableBuffer,
    slots: WriteableBuffer,
    marks: WriteableBuffer,
    first: int,
    last: int,
    touch: str,
    is_gil_held: bool,
) -> int: ...
def histograms(counts: ReadableBuffer) -> list[list[list[int]]]: ...
def least_alignment(size: int) -> int: ...
def empty_functions() -> tuple[int, int, int]: ...
