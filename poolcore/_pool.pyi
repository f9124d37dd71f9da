"""The engine: functions for Cython and C, nothing for Python."""

from typing import Final

__pyx_capi__: Final[dict[str, object]]
