# cython: language_level=3
"""NetApi's buffers from Cython, without a call where it is quickly done."""

from libc.stdint cimport uint32_t, uint64_t

from pybuf cimport machine_from_object, machine_t, netapi_allocate, netapi_free, netapi_reallocate, netapi_size


def churn(machine, uint32_t count):
    """What the last step was that went wrong, else 0."""
    cdef machine_t *behind = machine_from_object(machine)
    cdef uint64_t block = 0
    cdef uint32_t size = 0
    cdef uint32_t i
    cdef int wrong = 0
    with nogil:
        for i in range(count):
            if netapi_allocate(behind, i, &block) != 0:
                wrong = 1
            if netapi_reallocate(behind, block, i + 100, &block) != 0:
                wrong = 2
            if netapi_size(behind, block, &size) != 0 or size != i + 100:
                wrong = 3
            if netapi_free(behind, block) != 0:
                wrong = 4
            if netapi_free(behind, block) != 87:
                wrong = 5
    return wrong
