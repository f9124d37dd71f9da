from typing import Final

C_API: Final[object]
__pyx_capi__: Final[dict[str, object]]
