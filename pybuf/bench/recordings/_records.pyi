from _typeshed import ReadableBuffer
from typing_extensions import disjoint_base

@disjoint_base
class _Lines:
    @property
    def torn_lines(self) -> int: ...
    def feed(self, piece: bytes, is_last: bool = False) -> bytearray: ...

@disjoint_base
class MtraceLines(_Lines):
    @property
    def is_started(self) -> bool: ...

@disjoint_base
class RmmLines(_Lines): ...

@disjoint_base
class _Text:
    def feed(self, records: ReadableBuffer) -> bytearray: ...

class MtraceText(_Text): ...
class RmmText(_Text): ...

@disjoint_base
class Arrivals:
    @property
    def held_at_end(self) -> int: ...
    def feed(self, records: ReadableBuffer) -> None: ...
    def finish(self) -> tuple[int, dict[int, tuple[int, int, int]]]: ...

def to_columns(
    records: ReadableBuffer,
) -> tuple[bytearray, bytearray, bytearray, bytearray, bytearray, bytearray, bytearray]: ...
def from_columns(
    count: int,
    operations: ReadableBuffer,
    threads: ReadableBuffer | None,
    times: ReadableBuffer | None,
    addresses: ReadableBuffer,
    sizes: ReadableBuffer,
    alignments: ReadableBuffer | None,
    zeroed: ReadableBuffer | None,
) -> bytearray: ...
