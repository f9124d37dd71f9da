"""The NetApi functions, and what is easier in Python: blocks read and freed."""

from __future__ import annotations

import pybuf.network  # noqa: F401
from pybuf._netapi import NetBuffer, NetServerEnum, entries

__all__ = ["NetBuffer", "NetServerEnum", "entries"]
