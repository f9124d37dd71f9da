from typing import Any

from pybuf.routines import ROUTINES as ROUTINES

C_API: Any
ENTRIES: dict[str, int]
ROUTINES_OF_C: frozenset[str]
