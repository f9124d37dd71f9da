from poolcore._capi import C_API as C_API
from poolcore._python import TRACEMALLOC_DOMAIN as TRACEMALLOC_DOMAIN
from poolcore._python import Block as Block
from poolcore._python import Buffer as Buffer
from poolcore._python import Event as Event
from poolcore._python import Pool as Pool
from poolcore.errors import DoubleFreeError as DoubleFreeError
from poolcore.errors import ExportedBlockError as ExportedBlockError
from poolcore.errors import ForeignBlockError as ForeignBlockError
from poolcore.errors import FreeError as FreeError
from poolcore.errors import InteriorPointerError as InteriorPointerError
from poolcore.errors import PoolExhausted as PoolExhausted
from poolcore.policies import AddressSpace as AddressSpace
from poolcore.policies import Events as Events
from poolcore.policies import Faults as Faults
from poolcore.policies import Fill as Fill
from poolcore.policies import Guard as Guard
from poolcore.policies import LowMemory as LowMemory
from poolcore.policies import Pages as Pages
from poolcore.policies import Quarantine as Quarantine
from poolcore.stats import ClassStats as ClassStats
from poolcore.stats import Stats as Stats
from poolcore.stats import Verdict as Verdict

__all__ = [
    "C_API",
    "AddressSpace",
    "Block",
    "Buffer",
    "ClassStats",
    "DoubleFreeError",
    "Event",
    "Events",
    "ExportedBlockError",
    "Faults",
    "Fill",
    "ForeignBlockError",
    "FreeError",
    "Guard",
    "InteriorPointerError",
    "LowMemory",
    "Pages",
    "Pool",
    "PoolExhausted",
    "Quarantine",
    "Stats",
    "TRACEMALLOC_DOMAIN",
    "Verdict",
    "get_include",
]

def get_include() -> str: ...
