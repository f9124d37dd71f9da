from typing import Final

C_API: Final[object]
