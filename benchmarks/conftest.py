"""Loads first what must come before tcmalloc: C++ libraries loaded later free through it what it never gave."""

import contextlib

with contextlib.suppress(ImportError):
    import numpy  # noqa: F401
with contextlib.suppress(ImportError):
    import pyarrow  # noqa: F401
