from array import array
from collections.abc import Sequence
from typing import TypedDict

from _typeshed import ReadableBuffer, WriteableBuffer

class _Population(TypedDict):
    mean: array[float]
    peak: array[float]
    peak_word: int
    live: int
    rounded: int
    live_mean: float
    rounded_mean: float
    alignments: array[int]

def follow(
    functions: Sequence[int],
    words: ReadableBuffer,
    alignments: ReadableBuffer | None,
    slots: WriteableBuffer,
    first: int,
    last: int,
) -> int: ...
def population(
    words: ReadableBuffer, alignments: ReadableBuffer | None, slot_count: int, first: int, last: int
) -> _Population: ...
def partitions(
    weights: ReadableBuffer, prices: ReadableBuffer, most: int
) -> list[tuple[float, list[int]]]: ...
