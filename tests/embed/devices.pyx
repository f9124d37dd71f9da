# cython: language_level=3
"""VideoPort and HD Audio from Cython: their functions, called without a door between."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from pybuf cimport (
    audio_allocate_dma, audio_allocate_render, audio_client_find, audio_free_dma, audio_free_engine,
    audio_link_position, audio_set_state, bug_check_t, client_t, device_t, format_t, machine_from_object, machine_t,
    mdl_t, video_allocate_buffer, video_allocate_pool, video_device_find, video_free_pool, video_release_buffer,
)
from pybuf._status cimport STATUS_INVALID_HANDLE


def pool(machine, uint64_t extension, uint32_t count):
    """What the last step was that went wrong, else 0."""
    cdef machine_t *behind = machine_from_object(machine)
    cdef device_t *device = video_device_find(behind, extension)
    cdef bug_check_t bug
    cdef uint64_t block, other
    cdef uint32_t i
    cdef int wrong = 0
    bug.code = 0
    with nogil:
        for i in range(1, count):
            block = video_allocate_pool(device, i & 5, i, 0x44727644, &bug)
            if block == 0 or bug.code != 0:
                wrong = 1
            if video_allocate_buffer(device, i, &other, &bug) != 0:
                wrong = 2
            video_release_buffer(device, other, &bug)
            video_free_pool(device, block, &bug)
            if bug.code != 0:
                wrong = 3
        video_free_pool(device, block, &bug)
        if bug.code != 0xC2 or bug.parameters[0] != 7 or bug.parameters[3] != block:
            wrong = 4
    return wrong


def play(uint64_t context, wait):
    """The same; `wait` lets 10 ms pass."""
    cdef client_t *client = audio_client_find(context)
    cdef uint64_t engine = 0
    cdef int wrong
    with nogil:
        wrong = start(client, &engine)
    if wrong == 0:
        wait()
        with nogil:
            wrong = finish(client, engine)
    return wrong


cdef int start(client_t *client, uint64_t *engine) noexcept nogil:
    cdef format_t format
    cdef uint64_t mdl, size
    cdef uint32_t fifo
    cdef uint16_t converter
    cdef uint8_t stream
    format.rate = 48000
    format.valid_bits = format.container_bits = 16
    format.channels = 2
    if audio_allocate_render(client, &format, 0, engine, &converter) != 0:
        return 1
    if audio_allocate_dma(client, engine[0], 4096, &mdl, &size, &stream, &fifo) != 0:
        return 2
    memset((<mdl_t *>mdl).mapped, 7, size)
    if audio_set_state(client, 1, 1, engine) != 0 or audio_set_state(client, 2, 1, engine) != 0:
        return 3
    return 0


cdef int finish(client_t *client, uint64_t engine) noexcept nogil:
    cdef uint64_t register
    if audio_link_position(client, engine, &register) != 0 or (<uint32_t *>register)[0] != 1920:
        return 4
    if audio_set_state(client, 1, 1, &engine) != 0 or audio_set_state(client, 0, 1, &engine) != 0:
        return 5
    if audio_free_dma(client, engine) != 0 or audio_free_engine(client, engine) != 0:
        return 6
    if audio_free_dma(client, engine) != STATUS_INVALID_HANDLE:
        return 7
    return 0
