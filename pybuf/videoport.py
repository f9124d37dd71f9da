"""VideoPort for people: blocks that a with statement frees, and VideoPortError where a routine has no memory.

::

    device = machine.video_device(allowance_bytes=1 << 20)
    with videoport.pool(device, 4096, "zyxD") as block:
        block[:4] = b"head"
    for tag, (count, size) in videoport.by_tag(device.remove()).items():
        print(f"{tag}: {count} blocks of {size} bytes were left")

The routines themselves are `pybuf.VideoPortAllocatePool` and so on.
"""

from __future__ import annotations

import warnings
from enum import IntEnum
from typing import TYPE_CHECKING

from pybuf._videoport import Device, VideoPortAllocatePool, block_release, buffer_new
from pybuf.errors import VideoPortError
from pybuf.status import VpStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import SupportsIndex

    from poolcore import Buffer
    from pybuf._machine import Block
    from pybuf.errors import BlockOwner

__all__ = ["VP_POOL_TYPE", "Device", "VideoPortError", "buffer", "by_tag", "pool"]


class VP_POOL_TYPE(IntEnum):  # noqa: N801
    """What VideoPortAllocatePool allocates: the numbers of video.h."""

    VpNonPagedPool = 0
    VpPagedPool = 1
    VpNonPagedPoolCacheAligned = 4
    VpPagedPoolCacheAligned = 5


class pool:  # noqa: N801
    """A block of VideoPortAllocatePool, from the entry of a with statement to its end.

    Parameters
    ----------
    device : Device or int
        The HwDeviceExtension.
    size : int
        Bytes.
    tag : int, str or bytes
        The pool tag: a ULONG, or what stands between the quotes in C ("zyxD" is shown as Dxyz).
    kind : VP_POOL_TYPE or int
        Paged pool, unless another is asked for.

    Raises
    ------
    VideoPortError
        On entering, with ERROR_NOT_ENOUGH_MEMORY: the pool has no such block.
    BugCheck
        As VideoPortAllocatePool on entering, and VideoPortFreePool on leaving.

    Notes
    -----
    Where views of the block are alive at the end its memory serves again after the last one; where VideoPortFreePool
    freed it already, nothing happens at the end.
    """

    def __init__(self, device: Device | SupportsIndex, size: SupportsIndex, tag: SupportsIndex | str | bytes,
                 kind: SupportsIndex = VP_POOL_TYPE.VpPagedPool) -> None:
        self.device = device
        self.size = size
        self.tag = tag
        self.kind = kind
        self._entered: list[Buffer] = []

    def __enter__(self) -> Buffer:
        made = VideoPortAllocatePool(self.device, self.kind, self.size, self.tag)
        if made is None:
            raise VideoPortError("VideoPortAllocatePool", VpStatus.ERROR_NOT_ENOUGH_MEMORY,
                                 f"{self.size!r} bytes were asked for. Free blocks, or raise the machine's "
                                 "video_bytes.")
        self._entered.append(made)
        return made

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
                 ) -> None:
        block_release(self.device, self._entered.pop(), True)


class buffer:  # noqa: N801
    """A block of VideoPortAllocateBuffer, from the entry of a with statement to its end. Obsolete: see `pool`.

    Parameters
    ----------
    device : Device or int
        The HwDeviceExtension.
    size : int
        Bytes.

    Raises
    ------
    VideoPortError
        On entering: ERROR_INSUFFICIENT_BUFFER, the device's allowance does not hold them; ERROR_NOT_ENOUGH_MEMORY, the
        pool has no such block.
    BugCheck
        As VideoPortAllocateBuffer on entering, and VideoPortReleaseBuffer on leaving.
    DeprecationWarning
        As a warning, before anything is allocated.

    Notes
    -----
    The end is that of `pool`.
    """

    def __init__(self, device: Device | SupportsIndex, size: SupportsIndex) -> None:
        warnings.warn("VideoPortAllocateBuffer is obsolete; pybuf.videoport.pool takes its place", DeprecationWarning,
                      stacklevel=2)
        self.device = device
        self.size = size
        self._entered: list[Buffer] = []

    def __enter__(self) -> Buffer:
        status, made = buffer_new(self.device, self.size)
        if made is None:
            hint = ("Release blocks, or give the device a larger allowance_bytes."
                    if status == VpStatus.ERROR_INSUFFICIENT_BUFFER else
                    "Release blocks, or raise the machine's video_bytes.")
            raise VideoPortError("VideoPortAllocateBuffer", status, f"{self.size!r} bytes were asked for. {hint}")
        self._entered.append(made)
        return made

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
                 ) -> None:
        block_release(self.device, self._entered.pop(), False)


def by_tag(blocks: Iterable[Block | BlockOwner]) -> dict[str, tuple[int, int]]:
    """What blocks come to by tag: those of `Device.live`, of `Device.remove`, or of a BugCheck's `left`.

    Returns
    -------
    dict
        For each tag, as a debugger shows it, how many blocks and how many bytes; in the order of the tags.
    """
    found: dict[str, tuple[int, int]] = {}
    for block in sorted(blocks, key=lambda each: each.tag):
        count, size = found.get(block.tag, (0, 0))
        found[block.tag] = count + 1, size + block.size
    return found
