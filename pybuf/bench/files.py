"""Files that a person named, opened as far as they can be read: a pipe would be waited for, a device never ends."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = {
    stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
}


def check_regular(path: Path, is_pipe_good: bool = False) -> None:
    """Raise OSError, whose ``strerror`` says what it is, for a pipe, a device or a socket at ``path``.

    A directory, and what is not there, is left to whoever opens it. ``is_pipe_good``: pipes are read to their end.
    """
    kind = stat.S_IFMT(os.stat(path).st_mode) if path.exists() else 0
    if kind in _KINDS and not (is_pipe_good and kind == stat.S_IFIFO):
        raise OSError(errno.EINVAL, f"is {_KINDS[kind]}; expected a regular file", str(path))


def opened(path: Path) -> BinaryIO:
    """The file at ``path``, to be read in any order. Raises OSError, also for what is no regular file."""
    check_regular(path)
    return path.open("rb")
