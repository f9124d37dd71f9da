"""What the pools raise. Every message is a sentence to act on; the attributes are for programs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from poolcore.stats import Verdict


class PoolExhausted(MemoryError):
    """A pool cannot give what was asked: no room, a limit, or a policy that refuses.

    Attributes
    ----------
    requested : int
        Bytes asked for, of all blocks together.
    live_bytes : int
        Requested bytes of the blocks that were live.
    limit_bytes : int or None
        The pool's limit, None without one.
    largest_bytes : int
        The largest block that could have been had instead.
    """

    def __init__(
        self,
        message: str = "",
        requested: int = 0,
        live_bytes: int = 0,
        limit_bytes: int | None = None,
        largest_bytes: int = 0,
    ) -> None:
        super().__init__(message)
        self.requested = requested
        self.live_bytes = live_bytes
        self.limit_bytes = limit_bytes
        self.largest_bytes = largest_bytes


class FreeError(ValueError):
    """What was given to free is not a live block. Itself for CORRUPT and CLOSED, else a subclass.

    Attributes
    ----------
    verdict : Verdict
        What free found; from `free_many` the first that was not LIVE.
    address : int
        Where.
    verdicts : list of Verdict
        From `free_many` one for each block, in the order of its argument; else just `verdict`.
    """

    def __init__(
        self,
        message: str = "",
        verdict: Verdict | None = None,
        address: int = 0,
        verdicts: list[Verdict] | None = None,
    ) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.address = address
        self.verdicts = verdicts if verdicts is not None else [] if verdict is None else [verdict]


class DoubleFreeError(FreeError):
    """The block was freed before (verdict DOUBLE)."""


class InteriorPointerError(FreeError):
    """The address is inside a block, not its start (verdict INTERIOR)."""


class ForeignBlockError(FreeError):
    """The address is no block of this pool (verdicts FOREIGN, OTHER_POOL, NULL)."""


class ExportedBlockError(FreeError, BufferError):
    """A view of the block is alive: release it first (verdict EXPORTED)."""
