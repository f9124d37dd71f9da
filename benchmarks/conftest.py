"""Loads what must come before tcmalloc: libraries in C++ that are loaded after it free through it what it never gave."""

import contextlib

with contextlib.suppress(ImportError):
    import numpy  # noqa: F401
with contextlib.suppress(ImportError):
    import pyarrow  # noqa: F401
