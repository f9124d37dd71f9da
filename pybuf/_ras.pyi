from typing import SupportsIndex

from poolcore import Buffer
from pybuf._machine import MachineBase, Reference
from pybuf.status import RasStatus

def RasGetBuffer(size: SupportsIndex) -> tuple[RasStatus, Buffer | None, int]: ...  # noqa: N802
def RasFreeBuffer(buffer: Buffer | Reference | SupportsIndex | None) -> RasStatus: ...  # noqa: N802
def buffer_release(machine: MachineBase, buffer: Buffer) -> RasStatus: ...
