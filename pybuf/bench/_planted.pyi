from typing import Final

from typing_extensions import disjoint_base

EVERY: Final[int]

@disjoint_base
class Planted:
    """The wrapper of one allocator."""

    @property
    def addresses(self) -> tuple[int, int, int, int, int]: ...
    @property
    def pool(self) -> int: ...
    @property
    def calls(self) -> int: ...
    def __init__(self, functions: tuple[int, int, int, int, int], work: int) -> None: ...
