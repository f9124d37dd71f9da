"""A word of a trace, as ``traces.py`` describes it: from the lowest bit an operation, a slot, a size."""

cdef enum:
    ALLOCATE = 0
    FREE = 1
    REALLOCATE = 2
    ZEROED = 3              # an allocation of zeroed bytes
    OPERATION_BITS = 3
    SLOT_SHIFT = 2
    SLOT_BITS = 0x3FFFFFF
    SLOT_LIMIT = 1 << 26
    SIZE_SHIFT = 28
