"""pybuf for Cython: the documented routines as nogil functions of a machine.

::

    from libc.stdint cimport uint64_t
    from pybuf cimport machine_from_object, machine_t, netapi_allocate, netapi_free

    def churn(machine, unsigned int size):
        cdef machine_t *behind = machine_from_object(machine)       # hold on to `machine` while you use it
        cdef uint64_t block
        with nogil:
            if netapi_allocate(behind, size, &block) == 0:
                netapi_free(behind, block)

Compile with ``include_dirs=[poolcore.get_include()]``. Addresses are integers; out-pointers may be NULL.
"""

from pybuf._machine cimport MachineBase, machine_shared, machine_t
from pybuf._netapi cimport netapi_allocate, netapi_free, netapi_reallocate, netapi_size
from pybuf._ras cimport (
    ras_free_buffer, ras_get_buffer, ras_own_session, ras_receive_buffer, ras_retrieve_buffer, ras_send_buffer,
    ras_set_comm_settings, session_t,
)


cdef inline machine_t *machine_from_object(object machine) except NULL:
    """The machine behind a pybuf.Machine. TypeError for another object, ValueError when it is closed."""
    if not isinstance(machine, MachineBase):
        raise TypeError(f"a pybuf.Machine is needed, not {type(machine).__name__} ({machine!r})")
    return machine_shared(<MachineBase>machine)
