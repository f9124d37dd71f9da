"""The VideoPort routines, once each; see routines.py for what their parameters are."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from pybuf._machine cimport bug_check_t, machine_t

# A miniport's device. Never unmapped; one that was removed has `is_live` 0, and may be another with its extension.
cdef struct device_t:
    machine_t *machine
    uint64_t extension          # HwDeviceExtension; 0: the machine's own, for extensions that nobody knows
    uint64_t allowance          # of VideoPortAllocateBuffer, bytes; UINT64_MAX: none
    uint64_t charged            # of it
    uint16_t number             # in notes
    uint8_t is_live
    device_t *next              # of its hash

# The device of an extension, of whichever machine; else the own one of `machine`. NULL: that has none (it is closed).
cdef device_t *video_device_find(machine_t *machine, uint64_t extension) noexcept nogil
cdef machine_t *video_machine_of(device_t *device) noexcept nogil

cdef int32_t video_allocate_buffer(device_t *device, uint32_t size, uint64_t *buffer, bug_check_t *bug) noexcept nogil
cdef void video_release_buffer(device_t *device, uint64_t buffer, bug_check_t *bug) noexcept nogil
cdef uint64_t video_allocate_pool(device_t *device, uint32_t kind, uint64_t size, uint32_t tag, bug_check_t *bug
                                  ) noexcept nogil
cdef void video_free_pool(device_t *device, uint64_t buffer, bug_check_t *bug) noexcept nogil
