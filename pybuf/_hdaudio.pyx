"""The HD Audio routines: engines, their buffers and their clock. The C of each, then the interfaces of Python."""

from cpython.object cimport PyObject
from libc.stdint cimport UINT64_MAX, int16_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from poolcore cimport (
    FREE_DEFER, VERDICT_EXPORTED, VERDICT_LIVE, Buffer, Pool, buffer_address, buffer_adopt, import_poolcore,
    pool_alloc_ex, pool_free_ex, pool_share, pool_t, pool_verdict_of,
)
from pybuf._machine cimport (
    DISPATCH_LEVEL, FAMILY_AUDIO, HANDLE_ENGINE, PASSIVE_LEVEL, POOL_AUDIO, ROUTINE_AllocateContiguousDmaBuffer,
    ROUTINE_AllocateDmaBuffer, ROUTINE_AllocateDmaBufferWithNotification, ROUTINE_GetResourceInformation,
    ROUTINE_GetWallClockRegister, ROUTINE_TransferCodecVerbs, TICKS_PER_SECOND, MachineBase, Reference,
    address_of_argument, callback_raised, callbacks_enter, callbacks_leave, calls_begin, calls_end, clock_now,
    clock_run, due_add, due_remove, dword_of_argument, event_is_valid, event_set, family_calls_t, family_register,
    handle_close, handle_find, handle_open, irql_now, irql_set, machine_is_open_or_raise, machine_pool, machine_t,
    note_at, note_t, note_write, pool_refuses, status_object, unsigned_of_argument, views_error, violation_record,
)
from pybuf._platform cimport os_lock, os_lock_init, os_lock_t, os_map, os_release, os_unlock, rarely
from pybuf._status cimport (
    SPACE_NT, STATUS_BUFFER_TOO_SMALL, STATUS_DEVICE_NOT_CONNECTED, STATUS_DEVICE_NOT_READY,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER,
    STATUS_IO_TIMEOUT, STATUS_NO_MEMORY, STATUS_NO_SUCH_DEVICE, STATUS_UNSUCCESSFUL,
)

from collections import namedtuple

cdef extern from "Python.h":
    void Py_INCREF(PyObject *o)
    void Py_DECREF(PyObject *o)
    object PyBytes_FromStringAndSize(const char *data, Py_ssize_t size)
    int PyObject_GetBuffer(object o, Py_buffer *view, int flags) except -1
    void PyBuffer_Release(Py_buffer *view)
    int PyErr_CheckSignals() except -1
    enum:
        PyBUF_SIMPLE

import_poolcore()

ctypedef void (*isr_t)(void *context, uint32_t mask) noexcept nogil
ctypedef void (__stdcall *isr_ms_t)(void *context, uint32_t mask) noexcept nogil
ctypedef void (*unsolicited_t)(uint64_t response, void *context) noexcept nogil
ctypedef void (__stdcall *unsolicited_ms_t)(uint64_t response, void *context) noexcept nogil
ctypedef void (*transferred_t)(void *transfers, void *context) noexcept nogil
ctypedef void (__stdcall *transferred_ms_t)(void *transfers, void *context) noexcept nogil

cdef enum:
    DIRQL = 5                   # of the controller's interrupt
    BUFFER_COMPLETE = 4         # bit 2 of what an ISR is told
    MDL_MAPPED = 1
    VERB_TICKS = 500            # a frame of the link
    REACHES_MAX = 4096          # between two looks for Ctrl-C

cdef uint64_t IS_VALID = <uint64_t>1 << 63
cdef uint64_t IS_UNSOLICITED = <uint64_t>1 << 36


# ---- clients ----------------------------------------------------------------------------------------

cdef enum:
    CLIENTS_MAX = 1024

cdef uint64_t CONTEXT_BASE = 0xFFFFFA8000000000
cdef client_t clients[CLIENTS_MAX]
cdef uint64_t contexts_made = 0
cdef os_lock_t clients_lock

os_lock_init(&clients_lock)


cdef client_t *audio_client_find(uint64_t context) noexcept nogil:
    cdef client_t *client = &clients[(context - CONTEXT_BASE) >> 6 & (CLIENTS_MAX - 1)]
    return client if context != 0 and client.context == context else NULL


cdef client_t *client_open(audio_t *audio, uint8_t codec, uint8_t node) noexcept nogil:
    """That of a codec's function group, with one use more. NULL: there are too many."""
    global contexts_made
    cdef client_t *found = NULL
    cdef client_t *client
    cdef uint32_t i
    os_lock(&clients_lock)
    for i in range(CLIENTS_MAX):
        client = &clients[i]
        if client.context == 0:
            if found == NULL:
                found = client
        elif client.audio == audio and client.codec == codec and client.node == node:
            client.uses += 1
            os_unlock(&clients_lock)
            return client
    if found != NULL:
        contexts_made += 1
        found.audio = audio
        found.machine = audio.machine
        found.codec = codec
        found.node = node
        found.uses = 1
        found.number = <uint32_t>(found - clients) + 1
        found.context = CONTEXT_BASE + ((contexts_made * CLIENTS_MAX + (found.number - 1)) << 6)
    os_unlock(&clients_lock)
    return found


cdef void client_end(client_t *client) noexcept nogil:
    """Its context is none any more; what it holds goes."""
    cdef audio_t *audio = client.audio
    cdef engine_t *engine
    cdef void *pair
    cdef uint32_t i
    client.context = 0
    for i in range(audio.engines_count):
        engine = &audio.engines[i]
        os_lock(&audio.lock)
        pair = NULL
        if engine.client == client:
            engine.state = STATE_RESET
            pair = buffer_end(audio, engine)
            engine_end(audio, engine)
        os_unlock(&audio.lock)
        pair_drop(pair)
    for i in range(TAGS_MAX):
        os_lock(&audio.lock)
        pair = NULL
        if audio.listeners[client.codec][i].client == client:
            pair = listener_end(&audio.listeners[client.codec][i])
        os_unlock(&audio.lock)
        pair_drop(pair)


cdef void reference_add(void *context) noexcept nogil:
    cdef client_t *client
    os_lock(&clients_lock)
    client = audio_client_find(<uint64_t>context)
    if client != NULL:
        client.uses += 1
    os_unlock(&clients_lock)


cdef void reference_drop(void *context) noexcept nogil:
    cdef client_t *client
    os_lock(&clients_lock)
    client = audio_client_find(<uint64_t>context)
    if client != NULL:
        client.uses -= 1
        if client.uses != 0:
            client = NULL
    os_unlock(&clients_lock)
    if client != NULL:
        client_end(client)


cdef void __stdcall reference_add_ms(void *context) noexcept nogil:
    reference_add(context)


cdef void __stdcall reference_drop_ms(void *context) noexcept nogil:
    reference_drop(context)


REFERENCES = {
    "InterfaceReference": <uintptr_t><void *>reference_add,
    "InterfaceDereference": <uintptr_t><void *>reference_drop,
    "ms_InterfaceReference": <uintptr_t><void *>reference_add_ms,
    "ms_InterfaceDereference": <uintptr_t><void *>reference_drop_ms,
}
"""Addresses of the two functions of an interface that are no routines."""


# ---- formats and engines ------------------------------------------------------------------------------

cdef inline uint32_t status_before(client_t *client) noexcept nogil:
    """What a routine at PASSIVE_LEVEL answers before it looks at anything else."""
    if rarely(client == NULL):
        return STATUS_NO_SUCH_DEVICE
    return STATUS_UNSUCCESSFUL if rarely(irql_now() > PASSIVE_LEVEL) else 0


cdef inline engine_t *engine_find(client_t *client, uint64_t handle) noexcept nogil:
    """Under the lock."""
    return <engine_t *>handle_find(client.machine, handle, HANDLE_ENGINE, client.number)


cdef int rate_code(uint32_t rate) noexcept nogil:
    """Bits 8 to 15 of a converter format; -1: no rate of the link."""
    if rate == 8000:
        return 0x05
    if rate == 9600:
        return 0x04
    if rate == 11025:
        return 0x43
    if rate == 16000:
        return 0x02
    if rate == 22050:
        return 0x41
    if rate == 32000:
        return 0x0A
    if rate == 44100:
        return 0x40
    if rate == 48000:
        return 0x00
    if rate == 88200:
        return 0x48
    if rate == 96000:
        return 0x08
    if rate == 176400:
        return 0x58
    if rate == 192000:
        return 0x18
    return -1


cdef bint format_read(const void *given, format_t *format, uint16_t *converter) noexcept nogil:
    """Whether a HDAUDIO_STREAM_FORMAT is one; and what converters call it."""
    cdef int bits
    cdef int rate
    memcpy(format, given, 10)
    rate = rate_code(format.rate)
    if format.valid_bits == 8:
        bits = 0
    elif format.valid_bits == 16:
        bits = 1
    elif format.valid_bits == 20:
        bits = 2
    elif format.valid_bits == 24:
        bits = 3
    elif format.valid_bits == 32:
        bits = 4
    else:
        return False
    if rate < 0 or not 1 <= format.channels <= 16 or format.valid_bits > format.container_bits:
        return False
    if format.container_bits > 32 or format.container_bits & 7:
        return False
    converter[0] = <uint16_t>(rate << 8 | bits << 4 | (format.channels - 1))
    return True


cdef inline uint32_t frame_bits(const format_t *format) noexcept nogil:
    """What a stream takes of each frame of the link, which has 48,000 a second."""
    return (format.rate + 47999) // 48000 * format.channels * format.container_bits


cdef inline uint32_t cost_of(audio_t *audio, const format_t *format, bint is_striped) noexcept nogil:
    cdef uint32_t bits = frame_bits(format)
    return (bits + 1) // 2 if is_striped and audio.sdo_lines > 1 else bits


cdef inline bint fifo_holds(audio_t *audio, const format_t *format) noexcept nogil:
    return 2 * (frame_bits(format) // 8) <= audio.fifo_bytes


cdef void engine_take(engine_t *engine, const format_t *format, uint32_t cost) noexcept nogil:
    engine.cost = cost
    engine.rate = format.rate
    engine.block_bytes = <uint32_t>format.channels * format.container_bits // 8


cdef uint32_t engine_allocate(client_t *client, int direction, uint8_t codec, const void *given, bint is_striped,
                              uint64_t *handle, uint16_t *converter) noexcept nogil:
    cdef audio_t *audio
    cdef engine_t *engine = NULL
    cdef format_t format
    cdef uint16_t code
    cdef uint32_t cost, i, pass_
    cdef uint32_t status = status_before(client)
    if status:
        return status
    audio = client.audio
    if given == NULL or handle == NULL or converter == NULL:
        return STATUS_INVALID_PARAMETER
    if direction == DIRECTION_CAPTURE and (codec > 15 or not audio.codecs >> codec & 1):
        return STATUS_INVALID_PARAMETER
    if not format_read(given, &format, &code):
        return STATUS_INVALID_PARAMETER
    if not fifo_holds(audio, &format):
        return STATUS_BUFFER_TOO_SMALL
    cost = cost_of(audio, &format, is_striped)
    os_lock(&audio.lock)
    # Those of the direction come first, then those of both.
    for pass_ in range(2):
        for i in range(audio.engines_count):
            if (engine == NULL and audio.engines[i].client == NULL
                    and audio.engines[i].can == (DIRECTION_BOTH if pass_ else direction)):
                engine = &audio.engines[i]
    if engine == NULL or audio.used[direction] + cost > audio.bits[direction]:
        os_unlock(&audio.lock)
        return STATUS_INSUFFICIENT_RESOURCES
    engine.handle = handle_open(audio.machine, HANDLE_ENGINE, engine, client.number)
    if engine.handle == 0:
        os_unlock(&audio.lock)
        return STATUS_INSUFFICIENT_RESOURCES
    engine.client = client
    engine.direction = direction
    engine.state = STATE_RESET
    engine.codec = codec
    engine.is_striped = is_striped
    engine.is_stuck = 0
    engine.events_count = 0
    engine_take(engine, &format, cost)
    audio.used[direction] += cost
    handle[0] = engine.handle
    converter[0] = code
    os_unlock(&audio.lock)
    return 0


cdef uint32_t audio_allocate_capture(client_t *client, uint8_t codec, const void *format, uint64_t *handle,
                                     uint16_t *converter) noexcept nogil:
    return engine_allocate(client, DIRECTION_CAPTURE, codec, format, False, handle, converter)


cdef uint32_t audio_allocate_render(client_t *client, const void *format, uint8_t stripe, uint64_t *handle,
                                    uint16_t *converter) noexcept nogil:
    return engine_allocate(client, DIRECTION_RENDER, 0, format, stripe != 0, handle, converter)


cdef uint32_t audio_change_bandwidth(client_t *client, uint64_t handle, const void *given, uint16_t *converter
                                     ) noexcept nogil:
    cdef audio_t *audio
    cdef engine_t *engine
    cdef format_t format
    cdef uint16_t code
    cdef uint32_t cost
    cdef uint32_t status = status_before(client)
    if status:
        return status
    audio = client.audio
    os_lock(&audio.lock)
    engine = engine_find(client, handle)
    if engine == NULL:
        status = STATUS_INVALID_HANDLE
    elif given == NULL or converter == NULL or not format_read(given, &format, &code):
        status = STATUS_INVALID_PARAMETER
    elif engine.state != STATE_RESET or engine.kind != BUFFER_NONE:
        status = STATUS_INVALID_DEVICE_REQUEST
    elif not fifo_holds(audio, &format):
        status = STATUS_BUFFER_TOO_SMALL
    else:
        cost = cost_of(audio, &format, engine.is_striped)
        if audio.used[engine.direction] - engine.cost + cost > audio.bits[engine.direction]:
            status = STATUS_INSUFFICIENT_RESOURCES
        else:
            audio.used[engine.direction] += cost - engine.cost
            engine_take(engine, &format, cost)
            converter[0] = code
    os_unlock(&audio.lock)
    return status


cdef void engine_end(audio_t *audio, engine_t *engine) noexcept nogil:
    """Under the lock; it is in Reset and has no buffer."""
    handle_close(audio.machine, engine.handle, HANDLE_ENGINE)
    audio.used[engine.direction] -= engine.cost
    audio.registers[1 + (engine - audio.engines)] = 0
    engine.events_count = 0
    engine.handle = 0
    engine.client = NULL


cdef uint32_t audio_free_engine(client_t *client, uint64_t handle) noexcept nogil:
    cdef engine_t *engine
    cdef uint32_t status = 0
    if client == NULL:
        return STATUS_NO_SUCH_DEVICE
    if irql_now() > DISPATCH_LEVEL:
        return STATUS_UNSUCCESSFUL
    os_lock(&client.audio.lock)
    engine = engine_find(client, handle)
    if engine == NULL:
        status = STATUS_INVALID_HANDLE
    elif engine.state != STATE_RESET or engine.kind != BUFFER_NONE:
        status = STATUS_INVALID_DEVICE_REQUEST
    else:
        engine_end(client.audio, engine)
    os_unlock(&client.audio.lock)
    return status


# ---- buffers ------------------------------------------------------------------------------------------

cdef uint64_t block_take(audio_t *audio, uint64_t size, uint8_t routine) noexcept nogil:
    cdef machine_t *machine = audio.machine
    cdef pool_t *pool = machine.pools[POOL_AUDIO]
    cdef uint64_t address = 0
    cdef int refusal
    if not (machine.slow >> POOL_AUDIO & 1 and pool_refuses(machine, POOL_AUDIO)):
        address = pool_alloc_ex(pool, size, PAGE_BYTES, 0, 0, &refusal)
    if address != 0:
        note_write(machine, POOL_AUDIO, address, size, routine, 0, 0, True)
    return address


cdef uint64_t block_sequence(audio_t *audio, uint64_t address) noexcept nogil:
    """What tells a block from the next one at its address."""
    cdef note_t *note = note_at(audio.machine, POOL_AUDIO, address)
    return 0 if note == NULL else note.sequence


cdef bint block_is_there(audio_t *audio, uint64_t address, uint64_t sequence) noexcept nogil:
    """Whether it is live: Buffer.free() may have taken it away from its engine."""
    cdef int verdict = pool_verdict_of(audio.machine.pools[POOL_AUDIO], address)
    return (verdict == VERDICT_LIVE or verdict == VERDICT_EXPORTED) and block_sequence(audio, address) == sequence


cdef void block_give(audio_t *audio, uint64_t address) noexcept nogil:
    """It is dead at once; its memory serves again after the last view of it."""
    if address != 0:
        pool_free_ex(audio.machine.pools[POOL_AUDIO], address, FREE_DEFER)


cdef mdl_t *mdl_new(machine_t *machine, uint64_t data, uint64_t size) noexcept nogil:
    cdef uint64_t pages = (size + PAGE_BYTES - 1) // PAGE_BYTES
    cdef mdl_t *mdl = <mdl_t *>calloc(1, sizeof(mdl_t) + pages * sizeof(uint64_t))
    cdef uint64_t *frames
    cdef uint64_t i
    if mdl == NULL:
        return NULL
    frames = <uint64_t *>(mdl + 1)
    for i in range(pages):
        frames[i] = (data + machine.physical_offset) // PAGE_BYTES + i
    # A long list does not fit the field.
    mdl.size = <int16_t>min(sizeof(mdl_t) + pages * sizeof(uint64_t), <uint64_t>0x7FFF)
    mdl.flags = MDL_MAPPED
    mdl.mapped = <void *>data
    mdl.start = <void *>data
    mdl.byte_count = <uint32_t>size
    return mdl


cdef uint8_t stream_free(audio_t *audio, int direction) noexcept nogil:
    """The lowest stream that no engine of a direction has."""
    cdef uint32_t taken = 1
    cdef uint32_t i
    for i in range(audio.engines_count):
        if audio.engines[i].client != NULL and audio.engines[i].direction == direction and audio.engines[i].is_set_up:
            taken |= <uint32_t>1 << audio.engines[i].stream
    i = 1
    while taken >> i & 1:
        i += 1
    return <uint8_t>i


cdef void *buffer_end(audio_t *audio, engine_t *engine) noexcept nogil:
    """Under the lock. Answers a pair for pair_drop, which is called without it, or NULL."""
    cdef void *pair = isr_end(engine)
    if engine.kind != BUFFER_NONE:
        if block_is_there(audio, engine.data, engine.data_sequence):
            block_give(audio, engine.data)
        if engine.bdl != 0 and block_is_there(audio, engine.bdl, engine.bdl_sequence):
            block_give(audio, engine.bdl)
        free(engine.mdl)
    engine.kind = BUFFER_NONE
    engine.is_set_up = 0
    engine.data = 0
    engine.bdl = 0
    engine.mdl = NULL
    return pair


cdef void *isr_end(engine_t *engine) noexcept nogil:
    """The pair of an engine's callback that is not to be called any more, or NULL."""
    cdef void *pair = engine.isr if engine.call == CALL_PYTHON else NULL
    engine.isr = NULL
    engine.call = CALL_PLATFORM
    return pair


cdef void pair_drop(void *pair) noexcept nogil:
    if pair != NULL:
        with gil:
            Py_DECREF(<PyObject *>pair)


cdef void fragments_begin(engine_t *engine) noexcept nogil:
    engine.base = 0
    engine.moved = 0
    engine.fragment = 0
    engine.fragment_at = 0
    engine.is_due = 0


cdef uint32_t status_to_allocate(client_t *client, uint64_t handle, bint is_missing, bint is_wrong, engine_t **found
                                 ) noexcept nogil:
    """Under the lock: what the three that allocate answer before they do."""
    cdef engine_t *engine = engine_find(client, handle)
    found[0] = engine
    if engine == NULL:
        return STATUS_INVALID_HANDLE
    if is_missing:
        return STATUS_INVALID_PARAMETER
    if engine.state != STATE_RESET or engine.kind != BUFFER_NONE:
        return STATUS_INVALID_DEVICE_REQUEST
    return STATUS_INVALID_PARAMETER if is_wrong else 0


cdef uint32_t dma_allocate(client_t *client, uint64_t handle, int kind, uint32_t count, uint64_t size, uint64_t *mdl,
                           uint64_t *allocated, uint64_t *offset, uint8_t *stream, uint32_t *fifo) noexcept nogil:
    cdef audio_t *audio
    cdef engine_t *engine
    cdef uint64_t data = 0
    cdef mdl_t *described = NULL
    cdef uint32_t status = status_before(client)
    cdef bint is_missing = mdl == NULL or allocated == NULL or offset == NULL or stream == NULL or fifo == NULL
    if status:
        return status
    audio = client.audio
    os_lock(&audio.lock)
    status = status_to_allocate(client, handle, is_missing, size == 0 or not 1 <= count <= 2, &engine)
    if status == 0:
        size = min(size, audio.dma_max)
        data = block_take(audio, size, (
            ROUTINE_AllocateDmaBuffer if kind == BUFFER_PLAIN else ROUTINE_AllocateDmaBufferWithNotification))
        described = mdl_new(audio.machine, data, size) if data != 0 else NULL
        if described == NULL:
            status = STATUS_INSUFFICIENT_RESOURCES
        elif engine.is_stuck:
            status = STATUS_DEVICE_NOT_READY
    if status != 0:
        block_give(audio, data)
        free(described)
        os_unlock(&audio.lock)
        return status
    engine.stream = stream_free(audio, engine.direction)
    engine.kind = kind
    engine.data = data
    engine.data_sequence = block_sequence(audio, data)
    engine.data_bytes = size
    engine.mdl = described
    engine.length = size
    if count == 2 and size < 2:
        count = 1
    engine.fragments_count = count
    engine.fragments[0].address = data
    engine.fragments[0].length = <uint32_t>(size // count)
    engine.fragments[1].address = data + size // count
    engine.fragments[1].length = <uint32_t>(size - size // count)
    engine.fragments[0].is_interrupting = kind == BUFFER_NOTIFIED
    engine.fragments[1].is_interrupting = kind == BUFFER_NOTIFIED
    engine.is_set_up = 1
    fragments_begin(engine)
    mdl[0] = <uint64_t>described
    allocated[0] = size
    offset[0] = 0
    stream[0] = engine.stream
    fifo[0] = audio.fifo_bytes
    os_unlock(&audio.lock)
    return 0


cdef uint32_t audio_allocate_dma(client_t *client, uint64_t handle, uint64_t size, uint64_t *mdl, uint64_t *allocated,
                                 uint8_t *stream, uint32_t *fifo) noexcept nogil:
    cdef uint64_t offset
    return dma_allocate(client, handle, BUFFER_PLAIN, 1, size, mdl, allocated, &offset, stream, fifo)


cdef uint32_t audio_allocate_dma_notified(client_t *client, uint64_t handle, uint32_t count, uint64_t size,
                                          uint64_t *mdl, uint64_t *allocated, uint64_t *offset, uint8_t *stream,
                                          uint32_t *fifo) noexcept nogil:
    return dma_allocate(client, handle, BUFFER_NOTIFIED, count, size, mdl, allocated, offset, stream, fifo)


cdef inline bint block_is_viewed(audio_t *audio, uint64_t address, uint64_t sequence) noexcept nogil:
    return (pool_verdict_of(audio.machine.pools[POOL_AUDIO], address) == VERDICT_EXPORTED
            and block_sequence(audio, address) == sequence)


cdef uint32_t dma_free(client_t *client, uint64_t handle, int kind, uint64_t mdl, uint64_t size, bint *is_viewed
                       ) noexcept nogil:
    """`is_viewed` from Python alone: nothing is freed under views, and it says so."""
    cdef audio_t *audio
    cdef engine_t *engine
    cdef void *pair = NULL
    cdef uint32_t status = status_before(client)
    if status:
        return status
    audio = client.audio
    os_lock(&audio.lock)
    engine = engine_find(client, handle)
    if engine == NULL:
        status = STATUS_INVALID_HANDLE
    elif engine.state != STATE_RESET or engine.kind != kind:
        status = STATUS_INVALID_DEVICE_REQUEST
    elif kind == BUFFER_NOTIFIED and (mdl != <uint64_t>engine.mdl or size != engine.data_bytes):
        status = STATUS_INVALID_PARAMETER
    else:
        if is_viewed != NULL:
            is_viewed[0] = (block_is_viewed(audio, engine.data, engine.data_sequence)
                            or (engine.bdl != 0 and block_is_viewed(audio, engine.bdl, engine.bdl_sequence)))
        if is_viewed == NULL or not is_viewed[0]:
            pair = buffer_end(audio, engine)
    os_unlock(&audio.lock)
    pair_drop(pair)
    return status


cdef uint32_t audio_free_dma(client_t *client, uint64_t handle) noexcept nogil:
    return dma_free(client, handle, BUFFER_PLAIN, 0, 0, NULL)


cdef uint32_t audio_free_dma_notified(client_t *client, uint64_t handle, uint64_t mdl, uint64_t size) noexcept nogil:
    return dma_free(client, handle, BUFFER_NOTIFIED, mdl, size, NULL)


cdef uint32_t audio_free_contiguous(client_t *client, uint64_t handle) noexcept nogil:
    return dma_free(client, handle, BUFFER_CONTIGUOUS, 0, 0, NULL)


cdef uint32_t audio_allocate_contiguous(client_t *client, uint64_t handle, uint32_t size, uint64_t *buffer,
                                        uint64_t *bdl) noexcept nogil:
    cdef audio_t *audio
    cdef engine_t *engine
    cdef uint64_t data = 0
    cdef uint64_t list_ = 0
    cdef uint32_t status = status_before(client)
    if status:
        return status
    audio = client.audio
    os_lock(&audio.lock)
    status = status_to_allocate(client, handle, buffer == NULL or bdl == NULL, size == 0, &engine)
    if status == 0:
        data = block_take(audio, size, ROUTINE_AllocateContiguousDmaBuffer) if size <= audio.dma_max else 0
        list_ = block_take(audio, PAGE_BYTES, ROUTINE_AllocateContiguousDmaBuffer) if data != 0 else 0
        if list_ == 0:
            status = STATUS_INSUFFICIENT_RESOURCES
        elif engine.is_stuck:
            status = STATUS_DEVICE_NOT_READY
    if status != 0:
        block_give(audio, data)
        block_give(audio, list_)
    else:
        engine.kind = BUFFER_CONTIGUOUS
        engine.is_set_up = 0
        engine.data = data
        engine.data_sequence = block_sequence(audio, data)
        engine.data_bytes = size
        engine.bdl = list_
        engine.bdl_sequence = block_sequence(audio, list_)
        engine.length = 0
        buffer[0] = data
        bdl[0] = list_
    os_unlock(&audio.lock)
    return status


cdef bint fragments_read(audio_t *audio, engine_t *engine, uint32_t length, uint32_t count) noexcept nogil:
    """Whether the list that the client filled describes `length` bytes of its buffer; it is copied then."""
    cdef fragment_t *given = <fragment_t *>engine.bdl
    cdef fragment_t fragments[FRAGMENTS_MAX]
    cdef uint64_t total = 0
    cdef uint64_t at
    cdef uint32_t i
    if not block_is_there(audio, engine.bdl, engine.bdl_sequence):
        return False
    memcpy(fragments, given, count * sizeof(fragment_t))
    for i in range(count):
        at = fragments[i].address - audio.machine.physical_offset - engine.data
        if fragments[i].address & 127 or fragments[i].length == 0:
            return False
        if at >= engine.data_bytes or fragments[i].length > engine.data_bytes - at:
            return False
        fragments[i].address = engine.data + at
        total += fragments[i].length
    if total != length:
        return False
    memcpy(engine.fragments, fragments, count * sizeof(fragment_t))
    engine.fragments_count = count
    engine.length = length
    return True


cdef uint32_t audio_setup_bdl(client_t *client, uint64_t handle, uint32_t length, uint32_t lvi, void *isr,
                              uint64_t context, uint8_t *stream, uint32_t *fifo, int call) noexcept nogil:
    cdef audio_t *audio
    cdef engine_t *engine
    cdef void *pair = NULL
    cdef uint32_t status = status_before(client)
    if status:
        return status
    audio = client.audio
    os_lock(&audio.lock)
    engine = engine_find(client, handle)
    if engine == NULL:
        status = STATUS_INVALID_HANDLE
    elif stream == NULL or fifo == NULL:
        status = STATUS_INVALID_PARAMETER
    elif engine.state != STATE_RESET or engine.kind != BUFFER_CONTIGUOUS:
        status = STATUS_INVALID_DEVICE_REQUEST
    elif not 1 <= lvi < FRAGMENTS_MAX or not 1 <= length <= engine.data_bytes:
        status = STATUS_INVALID_PARAMETER
    elif engine.is_stuck:
        status = STATUS_DEVICE_NOT_READY
    elif not fragments_read(audio, engine, length, lvi + 1):
        status = STATUS_INVALID_PARAMETER
    else:
        pair = isr_end(engine)
        engine.isr = isr
        engine.isr_context = context
        engine.call = call
        if not engine.is_set_up:
            engine.stream = stream_free(audio, engine.direction)
        engine.is_set_up = 1
        fragments_begin(engine)
        stream[0] = engine.stream
        fifo[0] = audio.fifo_bytes
    os_unlock(&audio.lock)
    pair_drop(pair)
    return status


# ---- states and time ----------------------------------------------------------------------------------

cdef inline uint64_t frames_in(uint64_t ticks, uint32_t rate) noexcept nogil:
    return ticks // TICKS_PER_SECOND * rate + ticks % TICKS_PER_SECOND * rate // TICKS_PER_SECOND


cdef inline uint64_t ticks_of(uint64_t frames, uint32_t rate) noexcept nogil:
    """After how many ticks that many frames have passed."""
    return frames // rate * TICKS_PER_SECOND + (frames % rate * TICKS_PER_SECOND + rate - 1) // rate


cdef inline uint64_t bytes_at(const engine_t *engine, uint64_t tick) noexcept nogil:
    """Bytes since Reset."""
    if engine.state != STATE_RUN or tick <= engine.zero_tick:
        return engine.base
    return engine.base + frames_in(tick - engine.zero_tick, engine.rate) * engine.block_bytes


cdef void registers_write(audio_t *audio, uint64_t now) noexcept nogil:
    """Under the lock."""
    cdef engine_t *engine
    cdef uint32_t i
    audio.registers[0] = <uint32_t>now
    for i in range(audio.engines_count):
        engine = &audio.engines[i]
        if engine.client != NULL and engine.is_set_up:
            audio.registers[1 + i] = <uint32_t>(bytes_at(engine, now) % engine.length)


cdef void due_find(audio_t *audio) noexcept nogil:
    """Under the lock: when the next fragment ends."""
    cdef uint64_t first = UINT64_MAX
    cdef uint64_t bytes
    cdef engine_t *engine
    cdef uint32_t i
    for i in range(audio.engines_count):
        engine = &audio.engines[i]
        if engine.client != NULL and engine.state == STATE_RUN:
            bytes = engine.moved + engine.fragments[engine.fragment].length - engine.fragment_at - engine.base
            first = min(first, engine.zero_tick + ticks_of((bytes + engine.block_bytes - 1) // engine.block_bytes,
                                                           engine.rate))
    if first != UINT64_MAX:
        due_add(audio.machine, &audio.due, first)
    else:
        due_remove(audio.machine, &audio.due)


cdef void engine_pass(engine_t *engine, uint64_t bytes) noexcept nogil:
    """Under the lock: bytes of one fragment are moved."""
    engine.moved += bytes
    engine.fragment_at += bytes
    if engine.fragment_at == engine.fragments[engine.fragment].length:
        engine.is_due |= engine.fragments[engine.fragment].is_interrupting & 1
        engine.fragment = (engine.fragment + 1) % engine.fragments_count
        engine.fragment_at = 0


cdef void engine_move(audio_t *audio, engine_t *engine, int direction, uint64_t now) noexcept nogil:
    """Moves what is to be moved up to now, a fragment at a time."""
    cdef uint64_t bytes, address, handle, moved
    cdef void *copy
    cdef uint8_t stream, codec
    cdef bint is_there
    while True:
        os_lock(&audio.lock)
        bytes = 0
        if engine.client != NULL and engine.direction == direction and engine.state != STATE_RESET:
            bytes = min(bytes_at(engine, now) - engine.moved,
                        engine.fragments[engine.fragment].length - engine.fragment_at)
        if bytes == 0:
            os_unlock(&audio.lock)
            return
        address = engine.fragments[engine.fragment].address + engine.fragment_at
        # Without its buffer it sends silence, and what it receives is lost.
        is_there = block_is_there(audio, engine.data, engine.data_sequence)
        stream = engine.stream
        codec = engine.codec
        handle = engine.handle
        moved = engine.moved
        copy = malloc(bytes) if (audio.sinks if direction == DIRECTION_RENDER else audio.sources >> codec & 1) else NULL
        if direction == DIRECTION_RENDER:
            if copy != NULL and is_there:
                memcpy(copy, <const void *>address, bytes)
            elif copy != NULL:
                memset(copy, 0, bytes)
            engine_pass(engine, bytes)
            os_unlock(&audio.lock)
            if copy != NULL:
                rendered(audio, stream, <const char *>copy, bytes)
        elif copy == NULL:
            if is_there:
                memset(<void *>address, 0, bytes)
            engine_pass(engine, bytes)
            os_unlock(&audio.lock)
        else:
            os_unlock(&audio.lock)
            memset(copy, 0, bytes)
            captured(audio, codec, stream, <char *>copy, bytes)
            os_lock(&audio.lock)
            # The codec may have stopped or freed it.
            if engine.handle == handle and engine.moved == moved and engine.state != STATE_RESET:
                if block_is_there(audio, engine.data, engine.data_sequence):
                    memcpy(<void *>address, copy, bytes)
                engine_pass(engine, bytes)
            os_unlock(&audio.lock)
        free(copy)


cdef void rendered(audio_t *audio, uint8_t stream, const char *data, uint64_t bytes) noexcept with gil:
    """Hands bytes of a stream to every codec that takes them."""
    if audio.bus == NULL:
        return
    bus = <object>audio.bus
    given = PyBytes_FromStringAndSize(data, <Py_ssize_t>bytes)
    for codec in bus.codecs:
        if codec.sink is not None:
            try:
                codec.sink(stream, given)
            except BaseException:
                callback_raised(audio.machine, codec.sink)


cdef void captured(audio_t *audio, uint8_t address, uint8_t stream, char *data, uint64_t bytes) noexcept with gil:
    """Asks a codec for bytes; what it does not give is silence."""
    cdef Py_buffer view
    if audio.bus == NULL:
        return
    for codec in (<object>audio.bus).codecs:
        if codec.address == address and codec.source is not None:
            try:
                given = codec.source(stream, bytes)
                PyObject_GetBuffer(given, &view, PyBUF_SIMPLE)
                memcpy(data, view.buf, min(<uint64_t>view.len, bytes))
                PyBuffer_Release(&view)
            except BaseException:
                callback_raised(audio.machine, codec.source)


cdef struct told_t:
    engine_t *engine
    uint64_t handle
    void *isr
    uint64_t context
    int call


cdef void audio_reach(audio_t *audio, uint64_t now) noexcept nogil:
    """Everything up to now: bytes, registers, then events and interrupts; and when the next is due."""
    cdef machine_t *machine = audio.machine
    calls_begin(machine)
    audio_reach_kept(audio, now)
    calls_end(machine)


cdef void audio_reach_kept(audio_t *audio, uint64_t now) noexcept nogil:
    """The same, while the machine cannot be closed."""
    cdef told_t told[ENGINES_MAX]
    cdef uint64_t events[ENGINES_MAX * EVENTS_MAX]
    cdef uint32_t told_count = 0
    cdef uint32_t events_count = 0
    cdef engine_t *engine
    cdef uint32_t i, n
    os_lock(&audio.lock)
    if audio.is_moving:
        # A callback of a codec, or another thread, which goes on when this is done.
        registers_write(audio, now)
        os_unlock(&audio.lock)
        return
    audio.is_moving = 1
    os_unlock(&audio.lock)
    # What is rendered now may be captured now.
    for i in range(audio.engines_count):
        engine_move(audio, &audio.engines[i], DIRECTION_RENDER, now)
    for i in range(audio.engines_count):
        engine_move(audio, &audio.engines[i], DIRECTION_CAPTURE, now)
    os_lock(&audio.lock)
    audio.is_moving = 0
    registers_write(audio, now)
    for i in range(audio.engines_count):
        engine = &audio.engines[i]
        if engine.client == NULL or not engine.is_due:
            continue
        engine.is_due = 0
        for n in range(engine.events_count):
            events[events_count] = engine.events[n]
            events_count += 1
        if engine.isr != NULL:
            told[told_count].engine = engine
            told[told_count].handle = engine.handle
            told[told_count].isr = engine.isr
            told[told_count].context = engine.isr_context
            told[told_count].call = engine.call
            told_count += 1
    due_find(audio)
    os_unlock(&audio.lock)
    for i in range(events_count):
        event_set(audio.machine, events[i])
    for i in range(told_count):
        interrupt(audio, &told[i])


cdef void interrupt(audio_t *audio, const told_t *told) noexcept nogil:
    cdef uint32_t before = irql_set(DIRQL)
    if told.call == CALL_PYTHON:
        interrupt_python(audio, told)
    elif told.call == CALL_MS:
        (<isr_ms_t>told.isr)(<void *>told.context, BUFFER_COMPLETE)
    else:
        (<isr_t>told.isr)(<void *>told.context, BUFFER_COMPLETE)
    irql_set(before)


cdef void interrupt_python(audio_t *audio, const told_t *told) noexcept with gil:
    cdef object pair = None
    # A pair is dropped with the GIL, after it was taken out under the lock.
    os_lock(&audio.lock)
    if told.engine.handle == told.handle and told.engine.isr == told.isr:
        Py_INCREF(<PyObject *>told.isr)
        os_unlock(&audio.lock)
        pair = <object>told.isr
        Py_DECREF(<PyObject *>told.isr)
    else:
        os_unlock(&audio.lock)
        return
    function, context = pair
    try:
        function(context, BUFFER_COMPLETE)
    except BaseException:
        callback_raised(audio.machine, function)


cdef void audio_due(machine_t *machine, void *context, uint64_t tick) noexcept nogil:
    cdef audio_t *audio = <audio_t *>context
    audio.reaches += 1
    if rarely(audio.reaches % REACHES_MAX == 0):
        signals_look(machine)
    audio_reach(audio, tick)


cdef void signals_look(machine_t *machine) noexcept with gil:
    """Ctrl-C ends a long advance() at this instant, as a callback that raises does."""
    try:
        PyErr_CheckSignals()
    except BaseException:
        callback_raised(machine, None)


cdef void audio_catch_up(audio_t *audio) noexcept nogil:
    """A real clock went on by itself."""
    cdef uint64_t now = clock_now(audio.machine)
    if not audio.machine.clock.is_manual:
        clock_run(audio.machine, now)
        audio_reach(audio, now)


cdef void audio_advanced(machine_t *machine) noexcept nogil:
    cdef audio_t *audio = <audio_t *>machine.families[FAMILY_AUDIO]
    if audio != NULL:
        audio_reach(audio, clock_now(machine))


cdef uint32_t audio_set_state(client_t *client, uint32_t state, uint32_t count, const uint64_t *handles) noexcept nogil:
    cdef audio_t *audio
    cdef engine_t *engine
    cdef uint64_t now
    cdef uint32_t i
    cdef uint32_t status = 0
    if client == NULL:
        return STATUS_NO_SUCH_DEVICE
    if irql_now() > DISPATCH_LEVEL:
        return STATUS_UNSUCCESSFUL
    if state > STATE_RUN or count == 0 or handles == NULL:
        return STATUS_INVALID_PARAMETER
    audio = client.audio
    audio_catch_up(audio)
    os_lock(&audio.lock)
    for i in range(count):
        if engine_find(client, handles[i]) == NULL:
            status = STATUS_INVALID_HANDLE
    for i in range(count if status == 0 else 0):
        engine = engine_find(client, handles[i])
        if state != STATE_RESET and not engine.is_set_up:
            status = STATUS_INVALID_DEVICE_REQUEST
        if engine.state + state == STATE_RUN and engine.state != state:
            # From Reset to Run, or back, by way of Stop alone.
            status = STATUS_INVALID_DEVICE_REQUEST
    if status == 0:
        now = clock_now(audio.machine)
        for i in range(count):
            engine_turn(engine_find(client, handles[i]), state, now)
        registers_write(audio, now)
        due_find(audio)
    os_unlock(&audio.lock)
    return status


cdef void engine_turn(engine_t *engine, uint32_t state, uint64_t now) noexcept nogil:
    """Under the lock: one step."""
    if engine.state == state:
        return
    if state == STATE_RUN:
        engine.zero_tick = now
    elif state == STATE_STOP and engine.state == STATE_RUN:
        engine.base = bytes_at(engine, now)
    else:
        fragments_begin(engine)
    engine.state = <uint8_t>state


# ---- registers, information, events --------------------------------------------------------------------

cdef uint32_t audio_link_position(client_t *client, uint64_t handle, uint64_t *register) noexcept nogil:
    cdef audio_t *audio
    cdef engine_t *engine
    cdef uint32_t status = 0
    if client == NULL:
        return STATUS_NO_SUCH_DEVICE
    if irql_now() > DISPATCH_LEVEL:
        return STATUS_UNSUCCESSFUL
    audio = client.audio
    audio_catch_up(audio)
    os_lock(&audio.lock)
    engine = engine_find(client, handle)
    if engine == NULL:
        status = STATUS_INVALID_HANDLE
    elif register == NULL:
        status = STATUS_INVALID_PARAMETER
    else:
        registers_write(audio, clock_now(audio.machine))
        register[0] = <uint64_t>&audio.registers[1 + (engine - audio.engines)]
    os_unlock(&audio.lock)
    return status


cdef void audio_wall_clock(client_t *client, uint64_t *register) noexcept nogil:
    if client == NULL or register == NULL:
        return
    if irql_now() > DISPATCH_LEVEL:
        violation_record(client.machine, ROUTINE_GetWallClockRegister, irql_now(), 0)
    audio_catch_up(client.audio)
    os_lock(&client.audio.lock)
    registers_write(client.audio, clock_now(client.machine))
    os_unlock(&client.audio.lock)
    register[0] = <uint64_t>client.audio.registers


cdef void audio_resource_information(client_t *client, uint8_t *codec, uint8_t *node) noexcept nogil:
    if client == NULL:
        return
    if irql_now() > PASSIVE_LEVEL:
        violation_record(client.machine, ROUTINE_GetResourceInformation, irql_now(), 0)
    if codec != NULL:
        codec[0] = client.codec
    if node != NULL:
        node[0] = client.node


cdef extern from "pybuf.h":
    ctypedef struct HDAUDIO_DEVICE_INFORMATION_V2:
        uint16_t Size
        uint16_t DeviceVersion
        uint16_t DriverVersion
        uint16_t CodecsDetected
        uint8_t IsStripingSupported
        uint8_t CtrlRevision
        uint16_t CtrlVendorId
        uint16_t CtrlDeviceId


cdef uint32_t audio_device_information(client_t *client, void *information) noexcept nogil:
    cdef HDAUDIO_DEVICE_INFORMATION_V2 *out = <HDAUDIO_DEVICE_INFORMATION_V2 *>information
    cdef uint32_t status = status_before(client)
    if status:
        return status
    if out == NULL:
        return STATUS_INVALID_PARAMETER
    if out.Size < 10:
        return STATUS_BUFFER_TOO_SMALL
    out.DeviceVersion = 0x0100
    out.DriverVersion = 0x0100
    out.CodecsDetected = <uint16_t>client.audio.codecs
    out.IsStripingSupported = client.audio.sdo_lines > 1
    if out.Size >= 14:
        out.CtrlRevision = 1
        out.CtrlVendorId = 0x8086
        out.CtrlDeviceId = 0x2668
    return 0


cdef uint32_t audio_register_event(client_t *client, uint64_t handle, uint64_t event) noexcept nogil:
    cdef engine_t *engine
    cdef uint32_t i
    cdef bint is_valid
    cdef uint32_t status = status_before(client)
    if status:
        return status
    is_valid = event_is_valid(client.machine, event)
    os_lock(&client.audio.lock)
    engine = engine_find(client, handle)
    if engine == NULL:
        status = STATUS_INVALID_HANDLE
    elif not is_valid:
        status = STATUS_INVALID_PARAMETER
    else:
        i = 0
        while i < engine.events_count and engine.events[i] != event:
            i += 1
        if i == engine.events_count:
            if i == client.audio.events_max:
                status = STATUS_INSUFFICIENT_RESOURCES
            else:
                engine.events[i] = event
                engine.events_count += 1
    os_unlock(&client.audio.lock)
    return status


cdef uint32_t audio_unregister_event(client_t *client, uint64_t handle, uint64_t event) noexcept nogil:
    cdef engine_t *engine
    cdef uint32_t i = 0
    cdef uint32_t status = status_before(client)
    if status:
        return status
    os_lock(&client.audio.lock)
    engine = engine_find(client, handle)
    if engine == NULL:
        status = STATUS_INVALID_HANDLE
    else:
        while i < engine.events_count and engine.events[i] != event:
            i += 1
        if i == engine.events_count:
            status = STATUS_INVALID_PARAMETER
        else:
            engine.events_count -= 1
            engine.events[i] = engine.events[engine.events_count]
    os_unlock(&client.audio.lock)
    return status


# ---- codecs: callbacks and verbs ------------------------------------------------------------------------

cdef void *listener_end(listener_t *listener) noexcept nogil:
    """Under the lock. Answers a pair for pair_drop, or NULL."""
    cdef void *pair = listener.callback if listener.call == CALL_PYTHON else NULL
    listener.client = NULL
    listener.callback = NULL
    return pair


cdef uint32_t audio_register_callback(client_t *client, void *routine, uint64_t context, uint8_t *tag, int call
                                      ) noexcept nogil:
    cdef listener_t *listeners
    cdef uint32_t i = 0
    cdef uint32_t status = status_before(client)
    if status:
        return status
    if routine == NULL or tag == NULL:
        return STATUS_INVALID_PARAMETER
    listeners = client.audio.listeners[client.codec]
    os_lock(&client.audio.lock)
    while i < TAGS_MAX and listeners[i].client != NULL:
        i += 1
    if i == TAGS_MAX:
        status = STATUS_INSUFFICIENT_RESOURCES
    else:
        listeners[i].client = client
        listeners[i].callback = routine
        listeners[i].context = context
        listeners[i].call = call
        tag[0] = <uint8_t>i
    os_unlock(&client.audio.lock)
    return status


cdef uint32_t audio_unregister_callback(client_t *client, uint8_t tag) noexcept nogil:
    cdef void *pair = NULL
    cdef uint32_t status = status_before(client)
    if status:
        return status
    os_lock(&client.audio.lock)
    if tag >= TAGS_MAX or client.audio.listeners[client.codec][tag].client != client:
        status = STATUS_INVALID_PARAMETER
    else:
        pair = listener_end(&client.audio.listeners[client.codec][tag])
    os_unlock(&client.audio.lock)
    pair_drop(pair)
    return status


cdef uint32_t codecs_answer(audio_t *audio, transfer_t *transfers, uint32_t count, bint is_asked_now
                            ) noexcept with gil:
    """Fills the responses; one that no codec gave is not valid. `is_asked_now`: only whether the codecs are there."""
    cdef uint32_t status = 0
    cdef uint32_t i
    cdef dict codecs
    if audio.bus == NULL:
        return STATUS_NO_SUCH_DEVICE
    codecs = {codec.address: codec for codec in (<object>audio.bus).codecs}
    for i in range(count):
        codec = codecs.get(transfers[i].command >> 28)
        if is_asked_now:
            if codec is not None and codec.is_gone:
                return STATUS_DEVICE_NOT_CONNECTED
            continue
        transfers[i].response = 0
        if codec is None or codec.is_gone:
            continue
        if codec.is_silent:
            status = STATUS_IO_TIMEOUT
            continue
        try:
            answer = dword_of_argument(codec.respond(transfers[i].command), "a codec's response")
            transfers[i].response = IS_VALID | <uint64_t>(transfers[i].command >> 28) << 32 | <uint32_t>answer
        except BaseException:
            callback_raised(audio.machine, codec)
    return status


cdef uint32_t audio_transfer_verbs(client_t *client, uint32_t count, void *transfers, void *callback, uint64_t context,
                                   int call) noexcept nogil:
    return verbs_send(client, count, <transfer_t *>transfers, callback, context, call, False)


cdef uint32_t verbs_send(client_t *client, uint32_t count, transfer_t *transfers, void *callback, uint64_t context,
                         int call, bint is_owned) noexcept nogil:
    cdef machine_t *machine
    cdef uint32_t status
    if client == NULL:
        return STATUS_NO_SUCH_DEVICE
    machine = client.machine
    calls_begin(machine)
    status = verbs_send_kept(client, count, transfers, callback, context, call, is_owned)
    calls_end(machine)
    return status


cdef uint32_t verbs_send_kept(client_t *client, uint32_t count, transfer_t *transfers, void *callback, uint64_t context,
                              int call, bint is_owned) noexcept nogil:
    """The same, while the machine cannot be closed."""
    cdef audio_t *audio
    cdef verbs_t *verbs
    cdef uint32_t status
    if irql_now() > (PASSIVE_LEVEL if callback == NULL else DISPATCH_LEVEL):
        return STATUS_UNSUCCESSFUL
    if count == 0:
        return 0
    if transfers == NULL:
        return STATUS_INVALID_PARAMETER
    audio = client.audio
    verbs = <verbs_t *>block_take(audio, sizeof(verbs_t), ROUTINE_TransferCodecVerbs)
    if verbs == NULL:
        return STATUS_NO_MEMORY
    status = codecs_answer(audio, transfers, count, True)
    if status == 0 and callback == NULL:
        status = codecs_answer(audio, transfers, count, False)
    if status != 0 or callback == NULL:
        block_give(audio, <uint64_t>verbs)
        return status
    memset(verbs, 0, sizeof(verbs_t))
    verbs.audio = audio
    verbs.transfers = transfers
    verbs.count = count
    verbs.is_owned = is_owned
    verbs.callback = callback
    verbs.context = context
    verbs.call = call
    verbs.due.call = verbs_due
    verbs.due.context = verbs
    os_lock(&audio.lock)
    verbs.next = audio.verbs
    audio.verbs = verbs
    os_unlock(&audio.lock)
    due_add(audio.machine, &verbs.due, clock_now(audio.machine) + <uint64_t>count * VERB_TICKS)
    return 0


cdef void verbs_unlink(verbs_t *verbs) noexcept nogil:
    """Under the lock."""
    cdef verbs_t **place = &verbs.audio.verbs
    while place[0] != verbs:
        place = &place[0].next
    place[0] = verbs.next


cdef void verbs_due(machine_t *machine, void *context, uint64_t tick) noexcept nogil:
    cdef verbs_t *found = <verbs_t *>context
    cdef verbs_t verbs = found[0]
    cdef audio_t *audio = verbs.audio
    cdef uint32_t before
    calls_begin(machine)
    os_lock(&audio.lock)
    verbs_unlink(found)
    os_unlock(&audio.lock)
    block_give(audio, <uint64_t>found)
    codecs_answer(audio, verbs.transfers, verbs.count, False)
    before = irql_set(DISPATCH_LEVEL)
    if verbs.call == CALL_PYTHON:
        transferred_python(audio, &verbs)
    elif verbs.call == CALL_MS:
        (<transferred_ms_t>verbs.callback)(verbs.transfers, <void *>verbs.context)
    else:
        (<transferred_t>verbs.callback)(verbs.transfers, <void *>verbs.context)
    irql_set(before)
    if verbs.is_owned:
        free(verbs.transfers)
    calls_end(machine)


cdef object response_object(uint64_t response):
    return CodecResponse(<uint32_t>response, response >> 32 & 15, bool(response & IS_UNSOLICITED),
                         bool(response >> 62 & 1), bool(response & IS_VALID))


cdef int responses_copy(list transfers, const transfer_t *filled) except -1:
    cdef uint32_t i
    for i in range(len(transfers)):
        transfers[i].response = response_object(filled[i].response)
    return 0


cdef void transferred_python(audio_t *audio, const verbs_t *verbs) noexcept with gil:
    cdef object triple = <object><PyObject *>verbs.callback
    Py_DECREF(<PyObject *>verbs.callback)
    function, context, transfers = triple
    try:
        responses_copy(transfers, verbs.transfers)
        function(transfers, context)
    except BaseException:
        callback_raised(audio.machine, function)


cdef void listener_call(audio_t *audio, uint8_t codec, uint8_t tag, uint64_t response) noexcept nogil:
    """Nothing happens when nobody listens."""
    cdef listener_t listener
    cdef uint32_t before
    os_lock(&audio.lock)
    listener = audio.listeners[codec][tag]
    os_unlock(&audio.lock)
    if listener.client == NULL:
        return
    before = irql_set(DISPATCH_LEVEL)
    if listener.call == CALL_PYTHON:
        listener_python(audio, codec, tag, response)
    elif listener.call == CALL_MS:
        (<unsolicited_ms_t>listener.callback)(response, <void *>listener.context)
    else:
        (<unsolicited_t>listener.callback)(response, <void *>listener.context)
    irql_set(before)


cdef void listener_python(audio_t *audio, uint8_t codec, uint8_t tag, uint64_t response) noexcept with gil:
    cdef listener_t *listener = &audio.listeners[codec][tag]
    cdef PyObject *pair = NULL
    # A pair is dropped with the GIL, after it was taken out under the lock.
    os_lock(&audio.lock)
    if listener.client != NULL and listener.call == CALL_PYTHON:
        pair = <PyObject *>listener.callback
        Py_INCREF(pair)
    os_unlock(&audio.lock)
    if pair == NULL:
        return
    function, context = <object>pair
    Py_DECREF(pair)
    try:
        function(response_object(response), context)
    except BaseException:
        callback_raised(audio.machine, function)


def unsolicited(MachineBase machine not None, uint8_t codec, uint8_t tag, uint32_t response):
    """A codec's unsolicited response, for whoever registered its tag."""
    cdef audio_t *audio
    cdef uint64_t word = IS_VALID | IS_UNSOLICITED | <uint64_t>codec << 32
    machine_is_open_or_raise(machine)
    audio = <audio_t *>machine.machine.families[FAMILY_AUDIO]
    word |= <uint32_t>(<uint32_t>tag << 26) | (response & 0x03FFFFFF)
    outer = callbacks_enter(machine)
    try:
        with nogil:
            calls_begin(machine.machine)
            listener_call(audio, codec, tag, word)
            calls_end(machine.machine)
    finally:
        callbacks_leave(machine, outer)


# ---- the machine's bus ----------------------------------------------------------------------------------

cdef void audio_closing(machine_t *machine) noexcept:
    cdef audio_t *audio = <audio_t *>machine.families[FAMILY_AUDIO]
    cdef verbs_t *verbs
    cdef uint32_t i
    if audio == NULL:
        return
    for i in range(CLIENTS_MAX):
        if clients[i].context != 0 and clients[i].audio == audio:
            client_end(&clients[i])
    due_remove(machine, &audio.due)
    while audio.verbs != NULL:
        verbs = audio.verbs
        due_remove(machine, &verbs.due)
        verbs_unlink(verbs)
        if verbs.call == CALL_PYTHON:
            pair_drop(verbs.callback)
        if verbs.is_owned:
            free(verbs.transfers)
    audio.bus = NULL


cdef void audio_closed(machine_t *machine) noexcept:
    cdef audio_t *audio = <audio_t *>machine.families[FAMILY_AUDIO]
    if audio != NULL:
        os_release(audio.registers, PAGE_BYTES)
        free(audio)


cdef const char *audio_check(machine_t *machine) noexcept:
    """What is used of the link is what the engines have; only one with a buffer is out of Reset."""
    cdef audio_t *audio = <audio_t *>machine.families[FAMILY_AUDIO]
    cdef const char *broken = NULL
    cdef engine_t *engine
    cdef uint32_t used[3]
    cdef uint32_t i
    if audio == NULL:
        return NULL
    memset(used, 0, sizeof(used))
    os_lock(&audio.lock)
    for i in range(audio.engines_count):
        engine = &audio.engines[i]
        if engine.client == NULL:
            if engine.handle != 0 or engine.kind != BUFFER_NONE:
                broken = b"a DMA engine that is free has a handle or a buffer"
            continue
        used[engine.direction] += engine.cost
        if handle_find(machine, engine.handle, HANDLE_ENGINE, engine.client.number) != engine:
            broken = b"the handle of a DMA engine is not its own"
        if engine.state != STATE_RESET and not engine.is_set_up:
            broken = b"a DMA engine without a buffer is not in Reset"
        if engine.is_set_up and engine.kind == BUFFER_NONE:
            broken = b"a DMA engine is set up without a buffer"
    if (used[DIRECTION_RENDER] != audio.used[DIRECTION_RENDER]
            or used[DIRECTION_CAPTURE] != audio.used[DIRECTION_CAPTURE]):
        broken = b"the bandwidth in use is not that of the DMA engines"
    os_unlock(&audio.lock)
    return broken


cdef void audio_forked(machine_t *machine) noexcept nogil:
    cdef audio_t *audio = <audio_t *>machine.families[FAMILY_AUDIO]
    if audio != NULL:
        os_lock_init(&audio.lock)
        audio.is_moving = 0


cdef family_calls_t calls
calls.made = NULL
calls.closing = audio_closing
calls.closed = audio_closed
calls.check = audio_check
calls.forked = audio_forked
calls.advanced = audio_advanced
calls.lock = &clients_lock
family_register(FAMILY_AUDIO, &calls)


def bus_attach(MachineBase machine not None, bus):
    """Makes an HdAudioBus the bus of a machine. ValueError when another is in use."""
    cdef audio_t *audio
    cdef uint32_t i
    cdef uint32_t n = 0
    cdef int direction
    machine_is_open_or_raise(machine)
    audio = <audio_t *>machine.machine.families[FAMILY_AUDIO]
    if audio != NULL:
        for i in range(CLIENTS_MAX):
            if clients[i].context != 0 and clients[i].audio == audio:
                raise ValueError("the machine's HD Audio bus is in use: an interface of it was asked for")
    else:
        pool_share(machine_pool(machine, POOL_AUDIO))
        audio = <audio_t *>calloc(1, sizeof(audio_t))
        if audio == NULL:
            raise MemoryError("no memory for an HD Audio bus")
        audio.registers = <uint32_t *>os_map(PAGE_BYTES)
        if audio.registers == NULL:
            free(audio)
            raise MemoryError("no memory for an HD Audio bus")
        audio.machine = machine.machine
        audio.due.call = audio_due
        audio.due.context = audio
        os_lock_init(&audio.lock)
        machine.machine.families[FAMILY_AUDIO] = audio
    for direction, count in ((DIRECTION_RENDER, bus.render), (DIRECTION_CAPTURE, bus.capture),
                             (DIRECTION_BOTH, bus.bidirectional)):
        for _ in range(count):
            audio.engines[n].can = direction
            n += 1
    audio.engines_count = n
    audio.bits[DIRECTION_RENDER] = bus.render_bits
    audio.bits[DIRECTION_CAPTURE] = bus.capture_bits
    audio.sdo_lines = bus.sdo_lines
    audio.fifo_bytes = bus.fifo_bytes
    audio.dma_max = bus.dma_max
    audio.events_max = bus.events_max
    audio.codecs = 0
    audio.sinks = 0
    audio.sources = 0
    for codec in bus.codecs:
        audio.codecs |= <uint32_t>1 << <uint32_t>codec.address
        if codec.sink is not None:
            audio.sinks |= <uint32_t>1 << <uint32_t>codec.address
        if codec.source is not None:
            audio.sources |= <uint32_t>1 << <uint32_t>codec.address
    # The machine holds it.
    audio.bus = <PyObject *>bus


def engine_stick(MachineBase machine not None, handle, bint is_stuck):
    """Whether programming a DMA engine times out from now on. ValueError: no engine of the machine."""
    cdef uint64_t number
    cdef PyObject *held
    cdef engine_t *engine
    machine_is_open_or_raise(machine)
    address_of_argument(handle, &number, &held)
    engine = <engine_t *>handle_find(machine.machine, number, HANDLE_ENGINE, 0)
    if engine == NULL:
        raise ValueError(f"{number:#x} is no handle of a DMA engine of this machine")
    engine.is_stuck = is_stuck


def context_new(MachineBase machine not None, uint8_t codec, uint8_t node):
    """The context of a codec's function group. LookupError: there is no such codec."""
    cdef audio_t *audio
    cdef client_t *client
    machine_is_open_or_raise(machine)
    audio = <audio_t *>machine.machine.families[FAMILY_AUDIO]
    if not audio.codecs >> codec & 1:
        raise LookupError(f"the bus has no codec at address {codec}")
    client = client_open(audio, codec, node)
    if client == NULL:
        raise MemoryError(f"{CLIENTS_MAX} clients are there: release some")
    return client.context


include "_hdaudio_python.pxi"
