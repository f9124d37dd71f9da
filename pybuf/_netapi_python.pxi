# ---- Python: the producers ----------------------------------------------------------------------------

cdef bytes text_given(object value, str name):
    """A wide string's bytes, NUL and all; None for None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} is text or None, not {type(value).__name__} ({value!r})")
    if "\0" in value:
        raise ValueError(f"{name} is {value!r}; a wide string ends at its first NUL character")
    return (<str>value).encode("utf-16-le", "surrogatepass") + b"\0\0"


cdef inline const void *text_behind(bytes text) noexcept:
    return NULL if text is None else <const char *>text


cdef MachineBase producing():
    """The current machine, its pool of answers open to code without the GIL."""
    cdef MachineBase machine = <MachineBase>machine_now()
    machine_is_open_or_raise(machine)
    pool_share(machine_pool(machine, POOL_PRODUCED))
    return machine


def NetServerEnum(server, level, prefmaxlen, type, domain, resume):
    """Lists the servers of a domain.

    Parameters
    ----------
    server : None
        In: reserved.
    level : int
        In: 100: SERVER_INFO_100, platform and name; 101: SERVER_INFO_101, version, type and comment as well.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. One structure is
        answered in any case, and none in part.
    type : int
        In: SV_TYPE_* of the servers that are looked for, any of them; 0xFFFFFFFF: all; 0x80000000: the domains instead.
    domain : str or None
        In: the NetBIOS name of a domain; None: the computer's own.
    resume : int or None
        In and out: reserved: 0 or None.

    Returns
    -------
    status : NetStatus
        NERR_Success: all are there. ERROR_MORE_DATA: `prefmaxlen` is too small for all; what is there is to be freed,
        too. ERROR_INVALID_PARAMETER: `server` is not None, or `resume` not 0. ERROR_INVALID_LEVEL: another level.
        ERROR_NOT_SUPPORTED: `domain` is a DNS name. NERR_WkstaNotStarted, NERR_ServerNotStarted: the service does not
        run. NERR_ServiceNotInstalled: the browser does not. ERROR_NO_BROWSER_SERVERS_FOUND: it has no list, or none of
        that domain. NERR_RemoteErr: the domain's browser fails. ERROR_ACCESS_DENIED: the domain refuses the caller.
        ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structures and their strings, in one block for NetApiBufferFree; None without any: no server matches,
        which is a success, or the call failed.
    read : int
        Out: structures in it.
    total : int
        Out: servers that match.
    resume : int or None
        Out: as it was given.

    Raises
    ------
    TypeError, OverflowError
        An argument is of the wrong kind, or more than one wrap away from 32 bits.
    ValueError
        The machine is closed, or a text has a NUL character.
    Exception
        What on_write of the machine's Guest raised; the block is freed. Through C and ctypes that is
        ERROR_NOT_ENOUGH_MEMORY.

    Notes
    -----
    No membership of a group is needed. Any thread may call at any time; a call sees the network of its beginning.
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL bufptr, entriesread or totalentries; unless a
    call succeeds, *bufptr is NULL and the counts are 0.

    Source: lmserver.h, https://learn.microsoft.com/windows/win32/api/lmserver/nf-lmserver-netserverenum
    """
    cdef bytes server_text = text_given(server, "server")
    cdef bytes domain_text = text_given(domain, "domain")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t preferred = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef uint32_t types = dword_of_argument(type, "type")
    cdef uint32_t handle = 0 if resume is None else dword_of_argument(resume, "resume")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t read = 0
    cdef uint32_t total = 0
    cdef uint32_t status
    try:
        status = netapi_server_enum(machine.machine, 2, text_behind(server_text), level_number, &address, preferred,
                                    &read, &total, types, text_behind(domain_text), NULL if resume is None else &handle)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_NET, status), netbuffer(machine, address), read, total, resume


cdef bytes guid_given(object value):
    """A GUID's bytes as C has them; None for None."""
    cdef bytes found
    if value is None:
        return None
    found = value.bytes_le if isinstance(value, UUID) else bytes(value) if isinstance(value, bytes) else None
    if found is None:
        raise TypeError(f"guid is a uuid.UUID, 16 bytes or None, not {type(value).__name__} ({value!r})")
    if len(found) != 16:
        raise ValueError(f"guid has {len(found)} bytes; a GUID has 16")
    return found


cdef object enumerated(MachineBase machine, uint32_t status, uint64_t address, uint32_t read, uint32_t total,
                       object resume, uint64_t handle):
    """What an enumeration with a resume handle answers."""
    if status == NERR_BufTooSmall:
        return status_object(SPACE_NET, status), None, None, None, resume
    if resume is not None and (status == NERR_Success or status == ERROR_MORE_DATA):
        resume = handle
    return status_object(SPACE_NET, status), netbuffer(machine, address), read, total, resume


def NetServerGetInfo(server, level):
    """Tells what a server is.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    level : int
        In: 100, 101 or 102: SERVER_INFO_100, 101 or 102.

    Returns
    -------
    status : NetStatus
        NERR_Success. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_NAME: `server` is backslashes only, or
        ill-formed. ERROR_BAD_NETPATH: it is not known. ERROR_ACCESS_DENIED: the caller is not logged on interactively,
        and no Administrator or Operator. At level 102 being logged on is not enough. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structure and its strings, in one block for NetApiBufferFree; None unless NERR_Success.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmserver.h, https://learn.microsoft.com/windows/win32/api/lmserver/nf-lmserver-netservergetinfo
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    try:
        status = netapi_server_get_info(machine.machine, 2, text_behind(server_text), level_number, &address)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_NET, status), netbuffer(machine, address)


def NetWkstaGetInfo(server, level):
    """Tells what a workstation is.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    level : int
        In: 100, 101 or 102: WKSTA_INFO_100, 101 or 102.

    Returns
    -------
    status : NetStatus
        NERR_Success. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_NAME: `server` is backslashes only, or
        ill-formed. ERROR_BAD_NETPATH: it is not known. ERROR_ACCESS_DENIED: the caller is not logged on interactively,
        and no Administrator or Operator. At level 102 being logged on is not enough. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structure and its strings, in one block for NetApiBufferFree; None unless NERR_Success.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmwksta.h, https://learn.microsoft.com/windows/win32/api/lmwksta/nf-lmwksta-netwkstagetinfo
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    try:
        status = netapi_wksta_get_info(machine.machine, 2, text_behind(server_text), level_number, &address)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_NET, status), netbuffer(machine, address)


def NetWkstaUserGetInfo(server, level):
    """Tells who is logged on: the machine's caller.

    Parameters
    ----------
    server : None
        In: reserved.
    level : int
        In: 0, 1 or 1101: WKSTA_USER_INFO_0, 1 or 1101.

    Returns
    -------
    status : NetStatus
        NERR_Success. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_PARAMETER: `server` is not None.
        NERR_WkstaNotStarted: the workstation service does not run. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structure and its strings, in one block for NetApiBufferFree; None unless NERR_Success.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmwksta.h, https://learn.microsoft.com/windows/win32/api/lmwksta/nf-lmwksta-netwkstausergetinfo
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    try:
        status = netapi_wksta_user_get_info(machine.machine, 2, text_behind(server_text), level_number, &address)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_NET, status), netbuffer(machine, address)


def NetWkstaTransportEnum(server, level, prefmaxlen, resume):
    """Lists the transport protocols of a workstation.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    level : int
        In: 0: WKSTA_TRANSPORT_INFO_0.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. None is answered
        in part.
    resume : int or None
        In and out: 0 to begin, then what the call before answered; None: it is not to be resumed.

    Returns
    -------
    status : NetStatus
        NERR_Success: all are there. ERROR_MORE_DATA: `prefmaxlen` is too small for all; what is there is to be freed,
        too. NERR_BufTooSmall: it does not hold one; counts are None. ERROR_INVALID_LEVEL: another level.
        ERROR_INVALID_NAME: `server` is backslashes only, or ill-formed. ERROR_BAD_NETPATH: it is not known.
        ERROR_NOT_SUPPORTED: the server does not support the request. ERROR_NETWORK_UNREACHABLE: it has no network
        adapter. ERROR_INVALID_PARAMETER: no such resume handle was answered. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structures and what they point to, in one block for NetApiBufferFree; None without any.
    read : int or None
        Out: structures in it.
    total : int or None
        Out: structures from where `resume` begins.
    resume : int or None
        Out: what continues after them; 0 at the end; as it was given on failure.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL bufptr or entriesread, and
    RPC_X_NULL_REF_POINTER for a NULL totalentries; an invalid level comes before either.

    Source: lmwksta.h, https://learn.microsoft.com/windows/win32/api/lmwksta/nf-lmwksta-netwkstatransportenum
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t prefmaxlen_number = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef uint32_t handle = 0 if resume is None else dword_of_argument(resume, "resume")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    cdef uint32_t total = 0
    try:
        status = netapi_wksta_transport_enum(machine.machine, 2, text_behind(server_text), level_number, &address,
                                             prefmaxlen_number, &read, &total, NULL if resume is None else &handle)
    finally:
        callbacks_leave(machine, outer)
    return enumerated(machine, status, address, read, total, resume, handle)


def NetUserEnum(server, level, filter, prefmaxlen, resume):
    """Lists the users of a computer.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    level : int
        In: 0, 1, 2, 3, 10, 11 or 20: USER_INFO_ of that number.
    filter : int
        In: types of accounts, any of them: 1 temporary duplicates, 2 normal ones, 8, 0x10, 0x20 those of domains,
        workstations and servers; 0: all.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. None is answered
        in part.
    resume : int or None
        In and out: 0 to begin, then what the call before answered; None: it is not to be resumed.

    Returns
    -------
    status : NetStatus
        NERR_Success: all are there. ERROR_MORE_DATA: `prefmaxlen` is too small for all; what is there is to be freed,
        too. NERR_BufTooSmall: it does not hold one; counts are None. ERROR_INVALID_LEVEL: another level.
        ERROR_INVALID_NAME: `server` is backslashes only. ERROR_BAD_NETPATH: it is not known. NERR_InvalidComputer: it
        is ill-formed. ERROR_ACCESS_DENIED: the caller is not logged on interactively, and no Administrator or Operator.
        ERROR_INVALID_PARAMETER: no such resume handle was answered. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structures and what they point to, in one block for NetApiBufferFree; None without any.
    read : int or None
        Out: structures in it.
    total : int or None
        Out: structures from where `resume` begins.
    resume : int or None
        Out: what continues after them; 0 at the end; as it was given on failure.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    Members for passwords are None. In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netuserenum
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t filter_number = dword_of_argument(filter, "filter")
    cdef uint32_t prefmaxlen_number = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef uint32_t handle = 0 if resume is None else dword_of_argument(resume, "resume")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    cdef uint32_t total = 0
    try:
        status = netapi_user_enum(machine.machine, 2, text_behind(server_text), level_number, filter_number, &address,
                                  prefmaxlen_number, &read, &total, NULL if resume is None else &handle)
    finally:
        callbacks_leave(machine, outer)
    return enumerated(machine, status, address, read, total, resume, handle)


def NetUserGetInfo(server, user, level):
    """Tells what a user is.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    user : str
        In: the user's name.
    level : int
        In: 0, 1, 2, 3, 4, 10, 11, 20, 23 or 24: USER_INFO_ of that number.

    Returns
    -------
    status : NetStatus
        NERR_Success. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_NAME: `server` is backslashes only.
        ERROR_BAD_NETPATH: it is not known. NERR_InvalidComputer: it is ill-formed. ERROR_ACCESS_DENIED: the caller is
        not logged on interactively, and no Administrator or Operator. NERR_UserNotFound: there is no such user.
        ERROR_INVALID_PARAMETER: `user` is None. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structure and its strings, in one block for NetApiBufferFree; None unless NERR_Success.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    Members for passwords are None. In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netusergetinfo
    """
    cdef bytes server_text = text_given(server, "server")
    cdef bytes user_text = text_given(user, "user")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    try:
        status = netapi_user_get_info(machine.machine, 2, text_behind(server_text), text_behind(user_text),
                                      level_number, &address)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_NET, status), netbuffer(machine, address)


def NetShareEnum(server, level, prefmaxlen, resume):
    """Lists the shared resources of a computer.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    level : int
        In: 0, 1, 2, 502 or 503: SHARE_INFO_ of that number.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. None is answered
        in part.
    resume : int or None
        In and out: 0 to begin, then what the call before answered; None: it is not to be resumed.

    Returns
    -------
    status : NetStatus
        NERR_Success: all are there. ERROR_MORE_DATA: `prefmaxlen` is too small for all; what is there is to be freed,
        too. One is answered in any case. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_NAME: `server` is
        backslashes only, or ill-formed. ERROR_BAD_NETPATH: it is not known. ERROR_ACCESS_DENIED: the caller is not
        logged on interactively, and no Administrator or Operator. That is asked at levels 2, 502 and 503 alone.
        ERROR_INVALID_PARAMETER: no such resume handle was answered. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structures and what they point to, in one block for NetApiBufferFree; None without any.
    read : int or None
        Out: structures in it.
    total : int or None
        Out: structures from where `resume` begins.
    resume : int or None
        Out: what continues after them; 0 at the end; as it was given on failure.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmshare.h, https://learn.microsoft.com/windows/win32/api/lmshare/nf-lmshare-netshareenum
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t prefmaxlen_number = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef uint32_t handle = 0 if resume is None else dword_of_argument(resume, "resume")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    cdef uint32_t total = 0
    try:
        status = netapi_share_enum(machine.machine, 2, text_behind(server_text), level_number, &address,
                                   prefmaxlen_number, &read, &total, NULL if resume is None else &handle)
    finally:
        callbacks_leave(machine, outer)
    return enumerated(machine, status, address, read, total, resume, handle)


def NetLocalGroupEnum(server, level, prefmaxlen, resume):
    """Lists the local groups of a computer.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    level : int
        In: 0 or 1: LOCALGROUP_INFO_0 or 1.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. None is answered
        in part.
    resume : int or None
        In and out: 0 to begin, then what the call before answered; None: it is not to be resumed.

    Returns
    -------
    status : NetStatus
        NERR_Success: all are there. ERROR_MORE_DATA: `prefmaxlen` is too small for all; what is there is to be freed,
        too. NERR_BufTooSmall: it does not hold one; counts are None. ERROR_INVALID_LEVEL: another level.
        ERROR_INVALID_NAME: `server` is backslashes only. ERROR_BAD_NETPATH: it is not known. NERR_InvalidComputer: it
        is ill-formed. ERROR_ACCESS_DENIED: the caller is not logged on interactively, and no Administrator or Operator.
        ERROR_INVALID_PARAMETER: no such resume handle was answered. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structures and what they point to, in one block for NetApiBufferFree; None without any.
    read : int or None
        Out: structures in it.
    total : int or None
        Out: structures from where `resume` begins.
    resume : int or None
        Out: what continues after them; 0 at the end; as it was given on failure.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    The resume handle has the width of a pointer. In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL
    out-pointer.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netlocalgroupenum
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t prefmaxlen_number = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef uint64_t handle = 0 if resume is None else unsigned_of_argument(resume, "resume", 64)
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    cdef uint32_t total = 0
    try:
        status = netapi_local_group_enum(machine.machine, 2, text_behind(server_text), level_number, &address,
                                         prefmaxlen_number, &read, &total, NULL if resume is None else &handle)
    finally:
        callbacks_leave(machine, outer)
    return enumerated(machine, status, address, read, total, resume, handle)


def NetLocalGroupGetMembers(server, group, level, prefmaxlen, resume):
    """Lists the members of a local group.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    group : str
        In: the local group's name.
    level : int
        In: 0 to 3: LOCALGROUP_MEMBERS_INFO_ of that number.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. None is answered
        in part.
    resume : int or None
        In and out: 0 to begin, then what the call before answered; None: it is not to be resumed.

    Returns
    -------
    status : NetStatus
        NERR_Success: all are there. ERROR_MORE_DATA: `prefmaxlen` is too small for all; what is there is to be freed,
        too. One is answered in any case. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_NAME: `server` is
        backslashes only. ERROR_BAD_NETPATH: it is not known. NERR_InvalidComputer: it is ill-formed.
        ERROR_ACCESS_DENIED: the caller is not logged on interactively, and no Administrator or Operator.
        NERR_GroupNotFound: there is no such local group. ERROR_INVALID_PARAMETER: no such resume handle was answered.
        So is a `group` of None. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structures and what they point to, in one block for NetApiBufferFree; None without any.
    read : int or None
        Out: structures in it.
    total : int or None
        Out: structures from where `resume` begins.
    resume : int or None
        Out: what continues after them; 0 at the end; as it was given on failure.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    The resume handle has the width of a pointer. In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL
    out-pointer.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netlocalgroupgetmembers
    """
    cdef bytes server_text = text_given(server, "server")
    cdef bytes group_text = text_given(group, "group")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t prefmaxlen_number = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef uint64_t handle = 0 if resume is None else unsigned_of_argument(resume, "resume", 64)
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    cdef uint32_t total = 0
    try:
        status = netapi_local_group_members(machine.machine, 2, text_behind(server_text), text_behind(group_text),
                                            level_number, &address, prefmaxlen_number, &read, &total, NULL if resume is
                                            None else &handle)
    finally:
        callbacks_leave(machine, outer)
    return enumerated(machine, status, address, read, total, resume, handle)


def NetGroupEnum(server, level, prefmaxlen, resume):
    """Lists the global groups of a computer.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    level : int
        In: 0, 1 or 2: GROUP_INFO_0, 1 or 2.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. None is answered
        in part.
    resume : int or None
        In and out: 0 to begin, then what the call before answered; None: it is not to be resumed.

    Returns
    -------
    status : NetStatus
        NERR_Success: all are there. ERROR_MORE_DATA: `prefmaxlen` is too small for all; what is there is to be freed,
        too. One is answered in any case. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_NAME: `server` is
        backslashes only. ERROR_BAD_NETPATH: it is not known. NERR_InvalidComputer: it is ill-formed.
        ERROR_ACCESS_DENIED: the caller is not logged on interactively, and no Administrator or Operator.
        ERROR_INVALID_PARAMETER: no such resume handle was answered. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structures and what they point to, in one block for NetApiBufferFree; None without any.
    read : int or None
        Out: structures in it.
    total : int or None
        Out: structures from where `resume` begins.
    resume : int or None
        Out: what continues after them; 0 at the end; as it was given on failure.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    The resume handle has the width of a pointer. In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL
    out-pointer.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netgroupenum
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t prefmaxlen_number = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef uint64_t handle = 0 if resume is None else unsigned_of_argument(resume, "resume", 64)
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    cdef uint32_t total = 0
    try:
        status = netapi_group_enum(machine.machine, 2, text_behind(server_text), level_number, &address,
                                   prefmaxlen_number, &read, &total, NULL if resume is None else &handle)
    finally:
        callbacks_leave(machine, outer)
    return enumerated(machine, status, address, read, total, resume, handle)


def NetUserGetLocalGroups(server, user, level, flags, prefmaxlen):
    """Lists the local groups that a user is in.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    user : str
        In: the user's name.
    level : int
        In: 0: LOCALGROUP_USERS_INFO_0.
    flags : int
        In: 0; 1 (LG_INCLUDE_INDIRECT): local groups that a global group of the user's is in, too.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. None is answered
        in part.

    Returns
    -------
    status : NetStatus
        NERR_Success: all are there. ERROR_MORE_DATA: `prefmaxlen` is too small for all; what is there is to be freed,
        too. One is answered in any case. ERROR_INVALID_LEVEL: another level. ERROR_INVALID_NAME: `server` is
        backslashes only. ERROR_BAD_NETPATH: it is not known. NERR_InvalidComputer: it is ill-formed.
        ERROR_ACCESS_DENIED: the caller is not logged on interactively, and no Administrator or Operator.
        NERR_UserNotFound: there is no such user. ERROR_INVALID_FLAGS: other flags. ERROR_INVALID_PARAMETER: `user` is
        None. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the structures and what they point to, in one block for NetApiBufferFree; None without any.
    read : int or None
        Out: structures in it.
    total : int or None
        Out: the local groups.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netusergetlocalgroups
    """
    cdef bytes server_text = text_given(server, "server")
    cdef bytes user_text = text_given(user, "user")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t flags_number = dword_of_argument(flags, "flags")
    cdef uint32_t prefmaxlen_number = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    cdef uint32_t total = 0
    try:
        status = netapi_user_local_groups(machine.machine, 2, text_behind(server_text), text_behind(user_text),
                                          level_number, flags_number, &address, prefmaxlen_number, &read, &total)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_NET, status), netbuffer(machine, address), read, total


def NetQueryDisplayInformation(server, level, index, requested, prefmaxlen):
    """Lists users, computers or global groups of a computer by name, to be shown.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.
    level : int
        In: 1: NET_DISPLAY_USER; 2: NET_DISPLAY_MACHINE; 3: NET_DISPLAY_GROUP.
    index : int
        In: 0 to begin, then `next_index` of the last entry.
    requested : int
        In: entries; more than 100 count as 100.
    prefmaxlen : int
        In: bytes that the structures and their strings should have at most; -1: as many as there are. None is answered
        in part.

    Returns
    -------
    status : NetStatus
        NERR_Success: that was the last. ERROR_MORE_DATA: there are more; what is there is to be freed, too. One is
        answered in any case, and none if `index` is past the end. ERROR_INVALID_LEVEL: another level.
        ERROR_INVALID_NAME: `server` is backslashes only. ERROR_BAD_NETPATH: it is not known. NERR_InvalidComputer: it
        is ill-formed. ERROR_ACCESS_DENIED: the caller is not logged on interactively, and no Administrator or Operator.
        ERROR_NOT_ENOUGH_MEMORY: no room.
    count : int
        Out: structures in the block.
    buffer : NetBuffer or None
        Out: the structures and their strings, in one block for NetApiBufferFree; None without any.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmaccess.h, https://learn.microsoft.com/windows/win32/api/lmaccess/nf-lmaccess-netquerydisplayinformation
    """
    cdef bytes server_text = text_given(server, "server")
    cdef uint32_t level_number = dword_of_argument(level, "level")
    cdef uint32_t index_number = dword_of_argument(index, "index")
    cdef uint32_t requested_number = dword_of_argument(requested, "requested")
    cdef uint32_t prefmaxlen_number = dword_of_argument(prefmaxlen, "prefmaxlen")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    try:
        status = netapi_query_display(machine.machine, 2, text_behind(server_text), level_number, index_number,
                                      requested_number, prefmaxlen_number, &read, &address)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_NET, status), read, netbuffer(machine, address)


def NetGetJoinInformation(server):
    """Tells which domain or workgroup a computer is in.

    Parameters
    ----------
    server : str or None
        In: the computer, with or without two backslashes; None or "": this one.

    Returns
    -------
    status : NetStatus
        NERR_Success. ERROR_INVALID_NAME: `server` is backslashes only, or ill-formed. ERROR_BAD_NETPATH: it is not
        known. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: the name, for NetApiBufferFree; its one entry has the member `name`. None unless NERR_Success.
    kind : NETSETUP_JOIN_STATUS or None
        Out: what the name is; None unless NERR_Success.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: lmjoin.h, https://learn.microsoft.com/windows/win32/api/lmjoin/nf-lmjoin-netgetjoininformation
    """
    cdef bytes server_text = text_given(server, "server")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    cdef uint32_t read = 0
    try:
        status = netapi_get_join(machine.machine, 2, text_behind(server_text), &address, &read)
    finally:
        callbacks_leave(machine, outer)
    joined = NETSETUP_JOIN_STATUS(read) if status == 0 else None
    return status_object(SPACE_NET, status), netbuffer(machine, address), joined


def DsGetDcNameW(computer, domain, guid, site, flags):
    """Finds a domain controller.

    Parameters
    ----------
    computer : str or None
        In: the computer that is to look, with or without two backslashes; None: this one.
    domain : str or None
        In: the domain, by either of its names; None: the computer's own.
    guid : uuid.UUID, bytes or None
        In: the domain's GUID, by which it is found if it is by no name.
    site : str or None
        In: the site; not to be given with DS_TRY_NEXTCLOSEST_SITE.
    flags : int
        In: DS_*; those that contradict each other are refused.

    Returns
    -------
    status : NetStatus
        NERR_Success. ERROR_INVALID_FLAGS: flags contradict each other, or the site. ERROR_INVALID_COMPUTERNAME:
        `computer` is ill-formed. ERROR_BAD_NETPATH: it is not known. ERROR_INVALID_DOMAINNAME: `domain` is ill-formed.
        ERROR_NO_SUCH_DOMAIN: no controller is known of it. ERROR_NOT_ENOUGH_MEMORY: no room.
    buffer : NetBuffer or None
        Out: a DOMAIN_CONTROLLER_INFOW and its strings, in one block for NetApiBufferFree; None unless NERR_Success.

    Raises
    ------
    TypeError, OverflowError, ValueError
        As NetServerEnum.

    Notes
    -----
    In C and through ctypes ERROR_INVALID_PARAMETER is answered for a NULL out-pointer.

    Source: dsgetdc.h, https://learn.microsoft.com/windows/win32/api/dsgetdc/nf-dsgetdc-dsgetdcnamew
    """
    cdef bytes computer_text = text_given(computer, "computer")
    cdef bytes domain_text = text_given(domain, "domain")
    cdef bytes guid_bytes = guid_given(guid)
    cdef bytes site_text = text_given(site, "site")
    cdef uint32_t flags_number = dword_of_argument(flags, "flags")
    cdef MachineBase machine = producing()
    cdef object outer = callbacks_enter(machine)
    cdef uint64_t address = 0
    cdef uint32_t status
    try:
        status = netapi_get_dc(machine.machine, 2, text_behind(computer_text), text_behind(domain_text),
                               text_behind(guid_bytes), text_behind(site_text), flags_number, &address)
    finally:
        callbacks_leave(machine, outer)
    return status_object(SPACE_NET, status), netbuffer(machine, address)
