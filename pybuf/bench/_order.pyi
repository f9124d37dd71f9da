from collections.abc import Iterable, Sequence
from typing import Final, Self

from _typeshed import ReadableBuffer, WriteableBuffer
from typing_extensions import disjoint_base

from pybuf.bench._replay import Lane

THREAD_LIMIT: Final[int]
POINT_BYTES: Final[int]
LEAST_PAUSE_NS: Final[int]
BUSY_NS: Final[int]

@disjoint_base
class Parting:
    def __new__(
        cls,
        words: ReadableBuffer,
        threads: ReadableBuffer,
        times: ReadableBuffer | None,
        alignments: ReadableBuffer | None,
        recorded: int,
        slots: int,
        longest_ns: int,
        links: WriteableBuffer,
    ) -> Self: ...
    def survey(self) -> list[tuple[int, int]]: ...
    def count(self, scale: float) -> list[tuple[int, int]]: ...
    def write(
        self,
        scale: float,
        starts: Sequence[tuple[int, int]],
        words: WriteableBuffer,
        points: WriteableBuffer,
        alignments: WriteableBuffer | None,
        stops: Iterable[int],
    ) -> list[tuple[int, list[int]]]: ...
    @property
    def slots(self) -> int: ...
    @property
    def count_of_threads(self) -> int: ...
    @property
    def waits(self) -> int: ...

@disjoint_base
class Crew:
    def __new__(
        cls, lanes: list[Lane], points: Sequence[ReadableBuffer], slots: int, cpus: list[int]
    ) -> Self: ...
    def play(
        self, stops: list[int], kind: str, touch: str, is_counting: bool = False
    ) -> tuple[list[tuple[int, bool]], int, int, int, int]: ...
    def rewind(self) -> None: ...
    def close(self) -> None: ...
    @property
    def peak_live_bytes(self) -> int: ...

def empty_functions() -> tuple[int, int, int]: ...
