"""The HD Audio routines, once each; see routines.py for what their parameters are.

A client is a codec's function group; its context is a number that is looked up, and so are the handles of its DMA
engines. Everything of a machine's bus is under audio_t.lock. The pool POOL_AUDIO has pages of its own and calls nothing
back, so its blocks are allocated and freed under that lock; callbacks, events, codecs and the GIL come without it.

Time: an engine that runs has sent or received floor(ticks * rate / 24 MHz) frames since its zero. `advance` goes from
one end of a fragment to the next (audio_t.due), moves the bytes up to there, writes the registers, and then tells.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t, uint64_t

from pybuf._machine cimport due_t, machine_t
from pybuf._platform cimport os_lock_t

cdef enum:
    ENGINES_MAX = 30
    FRAGMENTS_MAX = 256
    EVENTS_MAX = 64
    PAGE_BYTES = 4096
    CODECS_MAX = 15
    TAGS_MAX = 64

cdef enum:
    BUFFER_NONE = 0
    BUFFER_PLAIN = 1            # AllocateDmaBuffer
    BUFFER_NOTIFIED = 2         # AllocateDmaBufferWithNotification
    BUFFER_CONTIGUOUS = 3       # AllocateContiguousDmaBuffer

cdef enum:
    STATE_RESET = 0
    STATE_STOP = 1              # and Pause
    STATE_RUN = 2

cdef enum:
    DIRECTION_NONE = 0
    DIRECTION_RENDER = 1
    DIRECTION_CAPTURE = 2
    DIRECTION_BOTH = 3

# How a callback is called: the door that registered it says.
cdef enum:
    CALL_PLATFORM = 0
    CALL_MS = 1
    CALL_PYTHON = 2             # the callback is a tuple (function, context), owned

# HDAUDIO_STREAM_FORMAT, HDAUDIO_BUFFER_DESCRIPTOR and MDL of pybuf.h.
cdef struct format_t:
    uint32_t rate
    uint16_t valid_bits
    uint16_t container_bits
    uint16_t channels

cdef struct fragment_t:
    uint64_t address
    uint32_t length
    uint32_t is_interrupting

cdef struct mdl_t:
    void *next
    int16_t size
    int16_t flags
    void *process
    void *mapped
    void *start
    uint32_t byte_count
    uint32_t byte_offset

# HDAUDIO_CODEC_TRANSFER: of the response bit 63 says that it is valid, bit 36 that it is unsolicited.
cdef struct transfer_t:
    uint32_t command
    uint64_t response

cdef struct audio_t
cdef struct client_t

# Verbs on their way to codecs; in a block of POOL_AUDIO.
cdef struct verbs_t:
    due_t due
    audio_t *audio
    verbs_t *next
    transfer_t *transfers
    uint32_t count
    uint8_t is_owned            # `transfers` is freed with it
    uint8_t call                # CALL_*
    void *callback
    uint64_t context

# What is called for a tag of a codec.
cdef struct listener_t:
    client_t *client            # NULL: free
    void *callback
    uint64_t context
    uint8_t call

cdef struct engine_t:
    client_t *client            # NULL: free
    uint64_t handle
    uint8_t can                 # DIRECTION_*
    uint8_t direction           # while it is allocated
    uint8_t state
    uint8_t kind                # BUFFER_*
    uint8_t is_set_up           # fragments and length say what the buffer is
    uint8_t is_stuck            # programming it times out
    uint8_t is_striped
    uint8_t codec               # that a capture comes from
    uint8_t stream
    uint8_t call                # CALL_* of isr
    uint32_t cost               # bits of each frame of the link
    uint32_t rate
    uint32_t block_bytes        # of a frame of the stream
    uint64_t data
    uint64_t data_sequence      # of its note: another block may have the address, when a Buffer was freed by its method
    uint64_t data_bytes
    mdl_t *mdl
    uint64_t bdl
    uint64_t bdl_sequence
    void *isr
    uint64_t isr_context
    fragment_t fragments[FRAGMENTS_MAX]         # addresses of this process
    uint32_t fragments_count
    uint64_t length
    uint64_t zero_tick          # while it runs: when it began to
    uint64_t base               # bytes before that, since Reset
    uint64_t moved              # bytes, since Reset, that were handed to a codec or taken from one
    uint32_t fragment           # where `moved` is
    uint64_t fragment_at        # bytes of it that are moved
    uint8_t is_due              # to tell: an interrupting fragment ended
    uint64_t events[EVENTS_MAX]
    uint32_t events_count

cdef struct client_t:
    uint64_t context            # 0: free
    uint32_t number
    uint32_t uses
    audio_t *audio
    machine_t *machine
    uint8_t codec
    uint8_t node

cdef struct audio_t:
    machine_t *machine
    os_lock_t lock
    PyObject *bus               # borrowed
    uint32_t engines_count
    engine_t engines[ENGINES_MAX]
    uint32_t bits[3]            # by direction: of the link, in each of its frames
    uint32_t used[3]
    uint32_t sdo_lines
    uint32_t fifo_bytes
    uint64_t dma_max
    uint32_t events_max
    uint32_t codecs             # mask of addresses
    uint32_t sinks              # mask of those that take what is rendered
    uint32_t sources            # mask of those that give what is captured
    uint32_t *registers         # a page: the wall clock, then each engine's position
    verbs_t *verbs              # that are on their way
    listener_t listeners[CODECS_MAX][TAGS_MAX]
    uint8_t is_moving           # a thread moves bytes
    uint32_t reaches            # how often something was due
    due_t due

# The client of a context, or NULL.
cdef client_t *audio_client_find(uint64_t context) noexcept nogil

cdef uint32_t audio_allocate_capture(client_t *client, uint8_t codec, const void *format, uint64_t *handle,
                                     uint16_t *converter) noexcept nogil
cdef uint32_t audio_allocate_render(client_t *client, const void *format, uint8_t stripe, uint64_t *handle,
                                    uint16_t *converter) noexcept nogil
cdef uint32_t audio_change_bandwidth(client_t *client, uint64_t handle, const void *format, uint16_t *converter
                                     ) noexcept nogil
cdef uint32_t audio_allocate_dma(client_t *client, uint64_t handle, uint64_t size, uint64_t *mdl, uint64_t *allocated,
                                 uint8_t *stream, uint32_t *fifo) noexcept nogil
cdef uint32_t audio_free_dma(client_t *client, uint64_t handle) noexcept nogil
cdef uint32_t audio_allocate_dma_notified(client_t *client, uint64_t handle, uint32_t count, uint64_t size,
                                          uint64_t *mdl, uint64_t *allocated, uint64_t *offset, uint8_t *stream,
                                          uint32_t *fifo) noexcept nogil
cdef uint32_t audio_free_dma_notified(client_t *client, uint64_t handle, uint64_t mdl, uint64_t size) noexcept nogil
cdef uint32_t audio_allocate_contiguous(client_t *client, uint64_t handle, uint32_t size, uint64_t *buffer,
                                        uint64_t *bdl) noexcept nogil
cdef uint32_t audio_setup_bdl(client_t *client, uint64_t handle, uint32_t length, uint32_t lvi, void *isr,
                              uint64_t context, uint8_t *stream, uint32_t *fifo, int call) noexcept nogil
cdef uint32_t audio_free_contiguous(client_t *client, uint64_t handle) noexcept nogil
cdef uint32_t audio_set_state(client_t *client, uint32_t state, uint32_t count, const uint64_t *handles) noexcept nogil
cdef uint32_t audio_free_engine(client_t *client, uint64_t handle) noexcept nogil
cdef uint32_t audio_link_position(client_t *client, uint64_t handle, uint64_t *register) noexcept nogil
cdef void audio_wall_clock(client_t *client, uint64_t *register) noexcept nogil
cdef void audio_resource_information(client_t *client, uint8_t *codec, uint8_t *node) noexcept nogil
cdef uint32_t audio_device_information(client_t *client, void *information) noexcept nogil
cdef uint32_t audio_register_event(client_t *client, uint64_t handle, uint64_t event) noexcept nogil
cdef uint32_t audio_unregister_event(client_t *client, uint64_t handle, uint64_t event) noexcept nogil
cdef uint32_t audio_register_callback(client_t *client, void *routine, uint64_t context, uint8_t *tag, int call
                                      ) noexcept nogil
cdef uint32_t audio_unregister_callback(client_t *client, uint8_t tag) noexcept nogil
cdef uint32_t audio_transfer_verbs(client_t *client, uint32_t count, void *transfers, void *callback, uint64_t context,
                                   int call) noexcept nogil
