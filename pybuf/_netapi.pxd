"""The NetApi routines, once each; see routines.py for what their parameters are.

A block of NetApiBufferAllocate and of NetApiBufferReallocate is one of the pool POOL_NETAPI, what the others answer
one of POOL_PRODUCED: NetApiBufferFree and NetApiBufferSize take both, NetApiBufferReallocate the first kind.
"""

from libc.stdint cimport uint32_t, uint64_t

from poolcore cimport heap_alloc_fast, heap_free_fast, heap_now, pool_t
from pybuf._machine cimport POOL_NETAPI, machine_t
from pybuf._platform cimport rarely

cdef enum:
    NETAPI_SLOW = 1 << POOL_NETAPI      # bits of machine_t.slow that NetApiBufferAllocate looks at

cdef uint32_t netapi_allocate_slow(machine_t *machine, uint32_t count, uint64_t *buffer) noexcept nogil
cdef uint32_t netapi_free_slow(machine_t *machine, uint64_t buffer) noexcept nogil
cdef uint32_t netapi_reallocate(machine_t *machine, uint64_t old, uint32_t count, uint64_t *buffer) noexcept nogil
cdef uint32_t netapi_size(machine_t *machine, uint64_t buffer, uint32_t *count) noexcept nogil
cdef uint32_t netapi_server_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                 uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries,
                                 uint32_t servertype, const void *domain, uint32_t *resume_handle) noexcept nogil
cdef uint32_t netapi_server_get_info(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                     uint64_t *bufptr) noexcept nogil
cdef uint32_t netapi_wksta_get_info(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                    uint64_t *bufptr) noexcept nogil
cdef uint32_t netapi_wksta_user_get_info(machine_t *machine, uint32_t wchar_bytes, const void *reserved, uint32_t level,
                                         uint64_t *bufptr) noexcept nogil
cdef uint32_t netapi_wksta_transport_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername,
                                          uint32_t level, uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread,
                                          uint32_t *totalentries, uint32_t *resume_handle) noexcept nogil
cdef uint32_t netapi_user_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                               uint32_t filter, uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread,
                               uint32_t *totalentries, uint32_t *resume_handle) noexcept nogil
cdef uint32_t netapi_user_get_info(machine_t *machine, uint32_t wchar_bytes, const void *servername,
                                   const void *username, uint32_t level, uint64_t *bufptr) noexcept nogil
cdef uint32_t netapi_share_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries,
                                uint32_t *resume_handle) noexcept nogil
cdef uint32_t netapi_local_group_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                      uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread,
                                      uint32_t *totalentries, uint64_t *resumehandle) noexcept nogil
cdef uint32_t netapi_local_group_members(machine_t *machine, uint32_t wchar_bytes, const void *servername,
                                         const void *localgroupname, uint32_t level, uint64_t *bufptr,
                                         uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries,
                                         uint64_t *resumehandle) noexcept nogil
cdef uint32_t netapi_group_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries,
                                uint64_t *resume_handle) noexcept nogil
cdef uint32_t netapi_user_local_groups(machine_t *machine, uint32_t wchar_bytes, const void *servername,
                                       const void *username, uint32_t level, uint32_t flags, uint64_t *bufptr,
                                       uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries
                                       ) noexcept nogil
cdef uint32_t netapi_query_display(machine_t *machine, uint32_t wchar_bytes, const void *ServerName, uint32_t Level,
                                   uint32_t Index, uint32_t EntriesRequested, uint32_t PreferredMaximumLength,
                                   uint32_t *ReturnedEntryCount, uint64_t *SortedBuffer) noexcept nogil
cdef uint32_t netapi_get_join(machine_t *machine, uint32_t wchar_bytes, const void *lpServer, uint64_t *lpNameBuffer,
                              uint32_t *BufferType) noexcept nogil
cdef uint32_t netapi_get_dc(machine_t *machine, uint32_t wchar_bytes, const void *ComputerName, const void *DomainName,
                            const void *DomainGuid, const void *SiteName, uint32_t Flags,
                            uint64_t *DomainControllerInfo) noexcept nogil


# The first halves of the two that are called most: they make no call, and answer False where one is needed.

cdef inline bint netapi_allocate_fast(machine_t *machine, uint32_t count, uint64_t *buffer, uint32_t *status
                                      ) noexcept nogil:
    """NetApiBufferAllocate where it is quickly done."""
    cdef pool_t *pool = machine.quick[POOL_NETAPI]
    cdef uint64_t address
    if rarely(pool == NULL or buffer == NULL):
        return False
    address = heap_alloc_fast(heap_now(pool), pool, count)
    if rarely(address == 0):
        return False
    buffer[0] = address
    status[0] = 0
    return True


cdef inline bint netapi_free_fast(machine_t *machine, uint64_t buffer, uint32_t *status) noexcept nogil:
    """NetApiBufferFree where it is quickly done."""
    cdef pool_t *pool = machine.quick[POOL_NETAPI]
    status[0] = 0
    return pool != NULL and heap_free_fast(heap_now(pool), pool, buffer)


# Both halves in one, for Cython and ctypes: the doors of C jump to the second.

cdef inline uint32_t netapi_allocate(machine_t *machine, uint32_t count, uint64_t *buffer) noexcept nogil:
    """NetApiBufferAllocate."""
    cdef uint32_t status
    if netapi_allocate_fast(machine, count, buffer, &status):
        return status
    return netapi_allocate_slow(machine, count, buffer)


cdef inline uint32_t netapi_free(machine_t *machine, uint64_t buffer) noexcept nogil:
    """NetApiBufferFree."""
    cdef uint32_t status
    if netapi_free_fast(machine, buffer, &status):
        return status
    return netapi_free_slow(machine, buffer)
