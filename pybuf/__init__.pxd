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

from pybuf._hdaudio cimport (
    audio_allocate_capture, audio_allocate_contiguous, audio_allocate_dma, audio_allocate_dma_notified,
    audio_allocate_render, audio_change_bandwidth, audio_client_find, audio_free_contiguous, audio_free_dma,
    audio_free_dma_notified, audio_free_engine, audio_link_position, audio_register_event, audio_set_state,
    audio_setup_bdl, audio_unregister_event, audio_wall_clock, client_t, format_t, fragment_t, mdl_t,
)
from pybuf._machine cimport MachineBase, bug_check_t, machine_shared, machine_t
from pybuf._netapi cimport netapi_allocate, netapi_free, netapi_reallocate, netapi_size
from pybuf._ras cimport (
    ras_free_buffer, ras_get_buffer, ras_own_session, ras_receive_buffer, ras_retrieve_buffer, ras_send_buffer,
    ras_set_comm_settings, session_t,
)
from pybuf._videoport cimport (
    device_t, video_allocate_buffer, video_allocate_pool, video_device_find, video_free_pool, video_release_buffer,
)


cdef inline machine_t *machine_from_object(object machine) except NULL:
    """The machine behind a pybuf.Machine. TypeError for another object, ValueError when it is closed."""
    if not isinstance(machine, MachineBase):
        raise TypeError(f"a pybuf.Machine is needed, not {type(machine).__name__} ({machine!r})")
    return machine_shared(<MachineBase>machine)
