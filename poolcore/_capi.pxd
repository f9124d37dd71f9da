"""What poolcore/__init__.pxd needs of the module with the C table."""

from libc.stdint cimport uint64_t

from poolcore._types cimport pool_t

cdef int layout_check(uint64_t compiled) except -1      # ImportError unless it is the engine's layout_hash()
cdef pool_t *pool_behind(object pool) except NULL       # of a Pool object, from now on shared with C
