from typing import Any

C_API: Any
ENTRIES: dict[str, int]
ROUTINES_OF_C: frozenset[str]
