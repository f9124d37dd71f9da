"""RAS for people: buffers that a with statement frees. The routines themselves are `pybuf.RasGetBuffer` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuf._machine import current_machine
from pybuf._ras import RasGetBuffer, buffer_release
from pybuf.errors import RasError

if TYPE_CHECKING:
    from types import TracebackType

    from poolcore import Buffer
    from pybuf._machine import MachineBase

__all__ = ["RasError", "buffer"]


class buffer:  # noqa: N801
    """A buffer of RasGetBuffer, from the entry of a with statement to its end: ``with ras.buffer(1500) as b: ...``.

    Parameters
    ----------
    size : int
        Bytes; the buffer has at most 1500.

    Raises
    ------
    RasError
        On entering: RasGetBuffer failed. On leaving: RasFreeBuffer did.

    Notes
    -----
    It is of the machine that is current on entering. Where views of it are alive at the end its memory serves again
    after the last one; where RasFreeBuffer freed it already, nothing happens at the end.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entered: list[tuple[MachineBase, Buffer]] = []

    def __enter__(self) -> Buffer:
        machine = current_machine()
        status, made, _ = RasGetBuffer(self.size)
        if made is None:
            raise RasError("RasGetBuffer", status, "Free buffers, or raise the machine's ras_buffers or ras_bytes.")
        self._entered.append((machine, made))
        return made

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
                 ) -> None:
        machine, made = self._entered.pop()
        if made.is_live and not machine.is_closed:
            status = buffer_release(machine, made)
            if status:
                raise RasError("RasFreeBuffer", status)
