from collections.abc import Sequence
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
def profile(words: ReadableBuffer, last: int) -> tuple[int, int, int, int, int, int]: ...
def live_bytes(words: ReadableBuffer, stops: Sequence[int]) -> list[int]: ...
def least_alignment(size: int) -> int: ...
def empty_functions() -> tuple[int, int, int]: ...
