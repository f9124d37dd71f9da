# cython: language_level=3
"""RAS' buffers and a port from Cython, in the session of a machine."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from pybuf cimport (
    machine_from_object, machine_t, ras_free_buffer, ras_get_buffer, ras_own_session, ras_receive_buffer,
    ras_retrieve_buffer, ras_send_buffer, session_t,
)


def send(machine, uint64_t port, bytes data, uint64_t event):
    """What the first step answered that failed, else 0; and how many bytes came back."""
    cdef machine_t *behind = machine_from_object(machine)
    cdef session_t *session = ras_own_session(behind)
    cdef const char *text = data
    cdef uint64_t block = 0
    cdef uint32_t size = <uint32_t>len(data)
    cdef uint32_t status
    with nogil:
        status = ras_get_buffer(session, &block, &size)
        if status == 0:
            memcpy(<void *>block, text, size)
            status = ras_send_buffer(session, port, block, size)
        if status == 0:
            status = ras_receive_buffer(session, port, block, &size, 0, event)
        if status == 0:
            status = ras_retrieve_buffer(session, port, block, &size)
        ras_free_buffer(session, block)
    return status, size
