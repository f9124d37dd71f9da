"""One record of a recording, as every format is read into and written from; and a table of live blocks.

A record is 32 bytes in the machine's own byte order; ``records.py`` says what its fields mean.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum Operation:
    NOTHING = 0             # claimed by a thread that died before it wrote it
    ALLOCATE = 1
    FREE = 2
    REALLOCATE_FROM = 3
    REALLOCATE_TO = 4
    FAIL = 5
    RECEIVE = 6

cdef enum:
    SIZE_LIMIT_BITS = 36    # of a size, in a record as in a trace word
    IS_ZEROED = 1           # of flags: the block was cleared, as calloc does

cdef struct Record:
    uint64_t time_ns
    uint64_t address
    uint64_t size
    uint32_t thread
    uint8_t operation
    uint8_t alignment       # its power of two; 0 is what malloc promises
    uint16_t flags

cdef struct Block:          # an entry of a Table; its address is 0 where the entry is free
    uint64_t address
    uint64_t size
    uint64_t held           # what the user of the table keeps with it

cdef struct Table:          # open addressing with linear probing, at most half full
    Block *blocks
    uint64_t mask
    uint64_t live
    int shift

cdef int table_start(Table *table) except -1
cdef void table_end(Table *table) noexcept
cdef Block *table_find(Table *table, uint64_t address) noexcept nogil
# The entry of an address that is not in the table yet; NULL when memory has run out. Moves the others.
cdef Block *table_add(Table *table, uint64_t address, uint64_t size, uint64_t held) noexcept nogil
cdef void table_remove(Table *table, Block *block) noexcept nogil
