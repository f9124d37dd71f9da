# The functions that answer a block. A routine takes a reference to a snapshot of the network, finds rows, and packs
# them: one block with the structures first, then what they point to, in the order of the members.

# ---- texts --------------------------------------------------------------------------------------------

cdef inline uint32_t unit_at(const void *text, uint64_t i, uint32_t wchar_bytes) noexcept nogil:
    return (<const uint16_t *>text)[i] if wchar_bytes == 2 else (<const uint32_t *>text)[i]


cdef inline uint32_t folded(uint32_t unit) noexcept nogil:
    return unit + 32 if 65 <= unit <= 90 else unit


cdef bint is_same(const void *one, const void *other, uint32_t wchar_bytes) noexcept nogil:
    """Whether two texts differ in the case of A to Z at most."""
    cdef uint64_t i = 0
    cdef uint32_t unit
    while True:
        unit = unit_at(one, i, wchar_bytes)
        if folded(unit) != folded(unit_at(other, i, wchar_bytes)):
            return False
        if unit == 0:
            return True
        i += 1


cdef bint has_any(const void *text, uint32_t wchar_bytes, const char *marks) noexcept nogil:
    """Whether a text has one of these characters, or one below 32 if there is a space among them."""
    cdef uint64_t i = 0
    cdef uint32_t unit = unit_at(text, 0, wchar_bytes)
    while unit != 0:
        if (unit < 128 and strchr(marks, <int>unit) != NULL) or (unit < 32 and strchr(marks, 32) != NULL):
            return True
        i += 1
        unit = unit_at(text, i, wchar_bytes)
    return False


# ---- a call -------------------------------------------------------------------------------------------

cdef struct call_t:
    machine_t *machine
    netapi_t *netapi
    snapshot_t *network         # a reference
    computer_t *computer
    uint32_t routine
    uint32_t text_bytes         # of a character of the arguments
    uint32_t wchar_bytes        # of a character of the answer
    uint32_t width              # 0: pointers of 8 bytes, 1: of 4

# Which rows: those from `first` up to `last` whose number in `column` has one of the bits of `mask` (0: any), and
# whose number in `key_column` is `key` (ANY: any).
cdef enum:
    ANY = 0xFFFFFFFF

cdef struct selection_t:
    uint32_t first
    uint32_t last
    uint32_t column
    uint32_t mask
    uint32_t key_column
    uint32_t key


cdef bint call_begin(call_t *call, machine_t *machine, uint32_t wchar_bytes, uint32_t routine) noexcept nogil:
    """False: the machine is closed."""
    call.machine = machine
    call.netapi = <netapi_t *>machine.families[FAMILY_NETAPI]
    call.routine = routine
    call.text_bytes = wchar_bytes
    call.wchar_bytes = machine.wchar_bytes if machine.is_guest else wchar_bytes
    call.width = machine.is_guest and machine.pointer_bytes == 4
    call.network = NULL
    call.computer = NULL
    if not machine.is_open or call.netapi == NULL:
        return False
    call.network = snapshot_take(&call.netapi.network)
    if call.network == NULL:
        return False
    call.computer = &call.network.computers[0]
    return True


cdef inline const void *heap_at(const call_t *call, uint32_t narrow, uint32_t wide, uint32_t wchar_bytes
                                ) noexcept nogil:
    return call.network.narrow + narrow if wchar_bytes == 2 else call.network.wide + wide


cdef uint32_t find_row(const call_t *call, const table_t *table, uint32_t column, const void *text) noexcept nogil:
    """The row whose text in a column is an argument's; ANY: none."""
    cdef const cell_t *cell
    cdef uint32_t i
    for i in range(table.count):
        cell = &table.cells[<uint64_t>i * table.columns + column]
        if is_same(text, heap_at(call, cell.number, cell.wide, call.text_bytes), call.text_bytes):
            return i
    return ANY


cdef inline uint32_t number_at(const table_t *table, uint32_t row, uint32_t column) noexcept nogil:
    return table.cells[<uint64_t>row * table.columns + column].number


cdef bint is_selected(const table_t *table, const selection_t *wanted, uint32_t row) noexcept nogil:
    if wanted.mask != ANY and not number_at(table, row, wanted.column) & wanted.mask:
        return False
    return wanted.key == ANY or number_at(table, row, wanted.key_column) == wanted.key


cdef inline uint64_t up_to_4(uint64_t n) noexcept nogil:
    return n + 3 & ~<uint64_t>3


cdef inline uint64_t text_bytes_of(const call_t *call, const cell_t *cell) noexcept nogil:
    return cell.bytes if call.wchar_bytes == 2 else cell.wide_bytes


cdef uint64_t tail_after(const call_t *call, const struct_t *layout, const cell_t *row, uint64_t tail) noexcept nogil:
    """Where what structures point to ends, after another one; `tail` is where it ended before."""
    cdef const member_t *member
    cdef const cell_t *cell
    cdef uint32_t i
    for i in range(layout.count):
        member = &layout.members[i]
        cell = &row[member.column]
        if member.kind == KIND_TEXT or member.kind == KIND_WHOLE:
            tail += text_bytes_of(call, cell)
        elif member.kind == KIND_BYTES and cell.bytes != 0:
            # The count lies before them, for who reads a block back.
            tail = up_to_4(up_to_4(tail) + 4 + cell.bytes)
    return tail


cdef uint64_t row_write(const call_t *call, const struct_t *layout, const cell_t *row, char *at, char *block,
                        uint64_t base, uint64_t tail) noexcept nogil:
    """Writes one structure at `at`, and what it points to at `tail` of `block`, whose address is to be `base`."""
    cdef const member_t *member
    cdef const cell_t *cell
    cdef uint64_t pointer
    cdef uint64_t size
    cdef uint32_t i
    for i in range(layout.count):
        member = &layout.members[i]
        cell = &row[member.column]
        if member.kind == KIND_NUMBER:
            (<uint32_t *>(at + member.offsets[call.width]))[0] = cell.number
            continue
        if member.kind == KIND_GUID:
            memcpy(at + member.offsets[call.width], call.network.narrow + cell.number, 16)
            continue
        if member.kind == KIND_WHOLE:
            size = text_bytes_of(call, cell)
            memcpy(block + tail, heap_at(call, cell.number, cell.wide, call.wchar_bytes), size)
            tail += size
            continue
        pointer = 0
        if cell.bytes != 0:
            if member.kind == KIND_TEXT:
                pointer = base + tail
                size = text_bytes_of(call, cell)
                memcpy(block + tail, heap_at(call, cell.number, cell.wide, call.wchar_bytes), size)
                tail += size
            else:
                tail = up_to_4(tail)
                (<uint32_t *>(block + tail))[0] = cell.bytes
                pointer = base + tail + 4
                memcpy(block + tail + 4, call.network.narrow + cell.number, cell.bytes)
                tail = up_to_4(tail + 4 + cell.bytes)
        if call.width == 0:
            (<uint64_t *>(at + member.offsets[0]))[0] = pointer
        else:
            (<uint32_t *>(at + member.offsets[1]))[0] = <uint32_t>pointer
    return tail


cdef enum:
    NOTE_WIDE = 1 << 30         # of note_t.extra, beside the count of structures: 4-byte characters,
    NOTE_NARROW = 1 << 31       # 4-byte pointers


cdef uint32_t pack(const call_t *call, const table_t *table, uint32_t number, const selection_t *wanted,
                   uint32_t preferred, bint may_be_too_small, uint64_t *buffer, uint32_t *read, uint32_t *total,
                   uint32_t *next_row) noexcept nogil:
    """Makes the block of the selected rows, as many as the preferred length holds: NERR_Success or ERROR_MORE_DATA;
    NERR_BufTooSmall, if that may be, or ERROR_NOT_ENOUGH_MEMORY, with nothing made. Without rows the block is NULL.
    `total` gets the count of all selected ones, `next_row` the first that is left."""
    cdef const struct_t *layout = &structs[number]
    cdef machine_t *machine = call.machine
    cdef pool_t *pool = machine.pools[POOL_PRODUCED]
    cdef uint64_t size = layout.sizes[call.width]
    cdef uint64_t most = 0xFFFFFFFFFFFFFFFFULL if preferred == 0xFFFFFFFFU else <uint64_t>preferred
    cdef uint64_t tail = 0
    cdef uint64_t after = 0
    cdef uint64_t address
    cdef uint32_t count = 0
    cdef uint32_t all_count = 0
    cdef uint32_t end = wanted.last
    cdef uint32_t left, row
    cdef bint is_full = False
    cdef bint is_all = wanted.mask == ANY and wanted.key == ANY
    cdef char *block
    cdef note_t *note
    cdef uint64_t sequence
    for row in range(wanted.first, wanted.last):
        if not is_all and not is_selected(table, wanted, row):
            continue
        all_count += 1
        if is_full:
            continue
        after = tail_after(call, layout, &table.cells[<uint64_t>row * table.columns], tail)
        if (count + 1) * size + after > most:
            if count > 0:
                is_full = True
                end = row
                continue
            # The first one comes all the same, or none.
            if may_be_too_small:
                return NERR_BufTooSmall
        tail = after
        count += 1
    buffer[0] = 0
    read[0] = count
    total[0] = all_count
    next_row[0] = end
    if count == 0:
        return NERR_Success
    if count * size + tail > 0xFFFFFFF0U or pool == NULL:
        return ERROR_NOT_ENOUGH_MEMORY
    if rarely(machine.slow >> POOL_PRODUCED & 1) and pool_refuses(machine, POOL_PRODUCED):
        return ERROR_NOT_ENOUGH_MEMORY
    address = heap_alloc(heap_now(pool), pool, count * size + tail)
    if address == 0:
        return ERROR_NOT_ENOUGH_MEMORY
    block = <char *>address if not machine.is_guest else <char *>malloc(count * size + tail)
    if block == NULL:
        pool_free_ex(pool, address, 0)
        return ERROR_NOT_ENOUGH_MEMORY
    after = count * size
    memset(block, 0, after)
    left = count
    row = wanted.first
    while left > 0:
        if is_all or is_selected(table, wanted, row):
            after = row_write(call, layout, &table.cells[<uint64_t>row * table.columns], block + (count - left) * size,
                              block, address, after)
            left -= 1
        row += 1
    note = note_write(machine, POOL_PRODUCED, address, after, call.routine, number, 0, True)
    if note != NULL:
        note.extra = count | (NOTE_WIDE if call.wchar_bytes == 4 else 0) | (NOTE_NARROW if call.width else 0)
    sequence = 0 if note == NULL else note.sequence
    left = 0
    if machine.is_guest:
        left = guest_write(machine, address, block, after) != 0
        free(block)
    if left or note == NULL:
        # Unless on_write freed it, and the address is another block's.
        if note == NULL or note.sequence == sequence:
            pool_free_ex(pool, address, 0)
        return ERROR_NOT_ENOUGH_MEMORY
    buffer[0] = address
    return ERROR_MORE_DATA if all_count > count else NERR_Success


cdef inline void select_all(selection_t *wanted, const table_t *table) noexcept nogil:
    wanted.first = 0
    wanted.last = table.count
    wanted.column = 0
    wanted.mask = ANY
    wanted.key_column = 0
    wanted.key = ANY


# ---- what the routines share --------------------------------------------------------------------------

cdef enum:
    JOINED_GROUPS = RIGHT_GROUP | RIGHT_INTERACTIVE
    INCLUDE_INDIRECT = 1


cdef uint32_t computer_find(call_t *call, const void *server, uint32_t ill_formed) noexcept nogil:
    """Finds the computer that a call is about: ERROR_INVALID_NAME, `ill_formed` or ERROR_BAD_NETPATH."""
    cdef uint32_t wchar_bytes = call.text_bytes
    cdef const char *name = <const char *>server
    cdef computer_t *computer
    cdef uint32_t i
    if server == NULL or unit_at(server, 0, wchar_bytes) == 0:
        return NERR_Success
    for i in range(2):
        if unit_at(name, 0, wchar_bytes) == 92:
            name += wchar_bytes
    if unit_at(name, 0, wchar_bytes) == 0:
        return ERROR_INVALID_NAME
    if has_any(name, wchar_bytes, b" /:*?\"<>|\\"):
        return ill_formed
    for i in range(call.network.count):
        computer = &call.network.computers[i]
        if is_same(name, heap_at(call, computer.name, computer.wide_name, wchar_bytes), wchar_bytes):
            call.computer = computer
            return NERR_Success
    return ERROR_BAD_NETPATH


cdef uint32_t call_open(call_t *call, machine_t *machine, uint32_t wchar_bytes, uint32_t routine, bint has_outs,
                        uint32_t number, const void *server, uint32_t ill_formed, uint32_t rights) noexcept nogil:
    """Begins a call and makes the checks in their order: null outputs, level (a structure's number), the computer's
    name, rights (one of them is enough; 0: none is needed). To be ended by call_end in any case."""
    cdef uint32_t status
    call.network = NULL
    if not has_outs:
        return ERROR_INVALID_PARAMETER
    if number == STRUCTS_MAX:
        return ERROR_INVALID_LEVEL
    if not call_begin(call, machine, wchar_bytes, routine):
        return NERR_WkstaNotStarted
    status = computer_find(call, server, ill_formed)
    if status == NERR_Success and rights != 0 and not call.netapi.rights & rights:
        return ERROR_ACCESS_DENIED
    return status


cdef uint32_t call_end(call_t *call, uint32_t status, uint64_t *bufptr, uint32_t *read, uint32_t *total
                       ) noexcept nogil:
    """Ends a call: nothing is answered unless it succeeds; and NERR_BufTooSmall writes nothing at all."""
    snapshot_drop(call.network)
    if status != NERR_Success and status != ERROR_MORE_DATA and status != NERR_BufTooSmall:
        if bufptr != NULL:
            bufptr[0] = 0
        if read != NULL:
            read[0] = 0
        if total != NULL:
            total[0] = 0
    return status


cdef uint32_t answer_one(const call_t *call, const table_t *table, uint32_t number, uint32_t row, uint64_t *bufptr
                         ) noexcept nogil:
    cdef selection_t wanted
    cdef uint32_t read, total, next_row
    select_all(&wanted, table)
    wanted.first = row
    wanted.last = row + 1
    return pack(call, table, number, &wanted, 0xFFFFFFFFU, False, bufptr, &read, &total, &next_row)


cdef bint was_given(table_t *table, uint32_t row) noexcept nogil:
    cdef bint found
    os_lock(&snapshots_lock)
    found = table.given != NULL and table.given[row >> 6] >> (row & 63) & 1
    os_unlock(&snapshots_lock)
    return found


cdef bint give(table_t *table, uint32_t row) noexcept nogil:
    """Keeps in mind that a resume handle to a row was given out; False: no memory."""
    cdef uint64_t *bits = NULL
    if table.given == NULL:
        bits = <uint64_t *>calloc((table.count >> 6) + 1, 8)
        if bits == NULL:
            return False
    os_lock(&snapshots_lock)
    if table.given == NULL:
        table.given = bits
        bits = NULL
    table.given[row >> 6] |= <uint64_t>1 << (row & 63)
    os_unlock(&snapshots_lock)
    free(bits)
    return True


cdef uint32_t enumerate_rows(call_t *call, uint32_t which, uint32_t number, selection_t *wanted, uint32_t preferred,
                             bint may_be_too_small, uint64_t *bufptr, uint32_t *read, uint32_t *total,
                             uint64_t *handle) noexcept nogil:
    """Packs what is selected of a table, from where a resume handle says: its place in the table, the table, and a mark
    of the snapshot. `handle` gets the next one, 0 at the end."""
    cdef table_t *table = &call.computer.tables[which]
    cdef uint32_t mark = (which - TABLE_TRANSPORTS) << 20 | (call.network.number % 511 + 1) << 23
    cdef uint32_t row = handle[0] & 0xFFFFF
    cdef uint32_t next_row, status
    if handle[0] != 0:
        if handle[0] != (mark | row) or row <= wanted.first or row >= wanted.last or not was_given(table, row):
            return ERROR_INVALID_PARAMETER
        wanted.first = row
    status = pack(call, table, number, wanted, preferred, may_be_too_small, bufptr, read, total, &next_row)
    if status == NERR_Success:
        handle[0] = 0
    elif status == ERROR_MORE_DATA:
        if not give(table, next_row):
            pool_free_ex(call.machine.pools[POOL_PRODUCED], bufptr[0], 0)
            return ERROR_NOT_ENOUGH_MEMORY
        handle[0] = mark | next_row
    return status


# ---- the routines -------------------------------------------------------------------------------------

cdef uint32_t netapi_server_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                 uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries,
                                 uint32_t servertype, const void *domain, uint32_t *resume_handle) noexcept nogil:
    cdef call_t call
    cdef uint32_t status
    if bufptr != NULL:
        bufptr[0] = 0
    if entriesread != NULL:
        entriesread[0] = 0
    if totalentries != NULL:
        totalentries[0] = 0
    if bufptr == NULL or entriesread == NULL or totalentries == NULL:
        return ERROR_INVALID_PARAMETER
    if level != 100 and level != 101:
        return ERROR_INVALID_LEVEL
    if servername != NULL or (resume_handle != NULL and resume_handle[0] != 0):
        return ERROR_INVALID_PARAMETER
    if domain != NULL and has_any(domain, wchar_bytes, b"."):
        return ERROR_NOT_SUPPORTED
    if not call_begin(&call, machine, wchar_bytes, ROUTINE_NetServerEnum):
        return NERR_WkstaNotStarted
    status = servers_find(&call, level, bufptr, prefmaxlen, entriesread, totalentries, servertype, domain)
    if status != NERR_Success and status != ERROR_MORE_DATA:
        bufptr[0] = 0
        entriesread[0] = 0
        totalentries[0] = 0
    snapshot_drop(call.network)
    return status


cdef uint32_t servers_find(call_t *call, uint32_t level, uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread,
                           uint32_t *totalentries, uint32_t servertype, const void *domain) noexcept nogil:
    cdef uint32_t services = call.netapi.services
    cdef const table_t *domains = &call.computer.tables[TABLE_DOMAINS]
    cdef const table_t *table = &call.computer.tables[TABLE_SERVERS]
    cdef uint32_t row = 0
    cdef uint32_t next_row
    cdef selection_t wanted
    if not services & SERVICE_WORKSTATION:
        return NERR_WkstaNotStarted
    if not services & SERVICE_SERVER:
        return NERR_ServerNotStarted
    if not services & SERVICE_BROWSER:
        return NERR_ServiceNotInstalled
    if domain != NULL:
        row = find_row(call, domains, SERVER_NAME, domain)
    if not call.network.has_list or row == ANY:
        return ERROR_NO_BROWSER_SERVERS_FOUND
    if number_at(domains, row, DOMAIN_FAILING):
        return NERR_RemoteErr
    if number_at(domains, row, DOMAIN_REFUSES):
        return ERROR_ACCESS_DENIED
    if servertype == 0x80000000U:
        table = domains
        select_all(&wanted, table)
    else:
        select_all(&wanted, table)
        wanted.key_column = SERVER_DOMAIN
        wanted.key = row
        if servertype != ANY:
            wanted.column = SERVER_TYPE
            # The bit of the local list selects no type.
            wanted.mask = servertype & ~<uint32_t>0x40000000
            if wanted.mask == 0 and servertype != 0:
                wanted.mask = ANY
    return pack(call, table, struct_at(server_levels, level), &wanted, prefmaxlen, False, bufptr, entriesread,
                totalentries, &next_row)


cdef uint32_t netapi_server_get_info(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                     uint64_t *bufptr) noexcept nogil:
    cdef call_t call
    cdef uint32_t number = struct_at(server_levels, level)
    cdef uint32_t rights = RIGHT_GROUP if level == 102 else JOINED_GROUPS
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetServerGetInfo, bufptr != NULL, number,
                                     servername, ERROR_INVALID_NAME, rights)
    if status == NERR_Success:
        status = answer_one(&call, &call.computer.tables[TABLE_SERVER], number, 0, bufptr)
    return call_end(&call, status, bufptr, NULL, NULL)


cdef uint32_t netapi_wksta_get_info(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                    uint64_t *bufptr) noexcept nogil:
    cdef call_t call
    cdef uint32_t number = struct_at(wksta_levels, level)
    cdef uint32_t rights = RIGHT_GROUP if level == 102 else JOINED_GROUPS
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetWkstaGetInfo, bufptr != NULL, number,
                                     servername, ERROR_INVALID_NAME, rights)
    if status == NERR_Success:
        status = answer_one(&call, &call.computer.tables[TABLE_WORKSTATION], number, 0, bufptr)
    return call_end(&call, status, bufptr, NULL, NULL)


cdef uint32_t netapi_wksta_user_get_info(machine_t *machine, uint32_t wchar_bytes, const void *reserved, uint32_t level,
                                         uint64_t *bufptr) noexcept nogil:
    cdef call_t call
    cdef uint32_t number = struct_at(caller_levels, level)
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetWkstaUserGetInfo, bufptr != NULL, number,
                                     NULL, ERROR_INVALID_NAME, 0)
    if status == NERR_Success:
        if reserved != NULL:
            status = ERROR_INVALID_PARAMETER
        elif not call.netapi.services & SERVICE_WORKSTATION:
            status = NERR_WkstaNotStarted
        else:
            snapshot_drop(call.network)
            call.network = snapshot_take(&call.netapi.caller)
            status = answer_one(&call, &call.network.computers[0].tables[TABLE_CALLER], number, 0, bufptr)
    return call_end(&call, status, bufptr, NULL, NULL)


cdef uint32_t netapi_wksta_transport_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername,
                                          uint32_t level, uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread,
                                          uint32_t *totalentries, uint32_t *resume_handle) noexcept nogil:
    cdef call_t call
    cdef selection_t wanted
    cdef uint64_t handle = 0 if resume_handle == NULL else resume_handle[0]
    cdef uint32_t number = struct_at(transport_levels, level)
    cdef uint32_t status = NERR_Success
    call.network = NULL
    # The level comes first here, and a missing total is the RPC run-time library's to find.
    if number == STRUCTS_MAX:
        status = ERROR_INVALID_LEVEL
    elif bufptr == NULL or entriesread == NULL:
        status = ERROR_INVALID_PARAMETER
    elif totalentries == NULL:
        status = RPC_X_NULL_REF_POINTER
    if status == NERR_Success:
        status = call_open(&call, machine, wchar_bytes, ROUTINE_NetWkstaTransportEnum, True, number, servername,
                           ERROR_INVALID_NAME, 0)
    if status == NERR_Success and not call.computer.has_transports:
        status = ERROR_NOT_SUPPORTED
    if status == NERR_Success and call.computer.tables[TABLE_TRANSPORTS].count == 0:
        status = ERROR_NETWORK_UNREACHABLE
    if status == NERR_Success:
        select_all(&wanted, &call.computer.tables[TABLE_TRANSPORTS])
        status = enumerate_rows(&call, TABLE_TRANSPORTS, number, &wanted, prefmaxlen, True, bufptr, entriesread,
                                totalentries, &handle)
        if resume_handle != NULL:
            resume_handle[0] = <uint32_t>handle
    return call_end(&call, status, bufptr, entriesread, totalentries)


cdef uint32_t netapi_user_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                               uint32_t filter, uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread,
                               uint32_t *totalentries, uint32_t *resume_handle) noexcept nogil:
    cdef call_t call
    cdef selection_t wanted
    cdef uint64_t handle = 0 if resume_handle == NULL else resume_handle[0]
    cdef uint32_t number = struct_at(users_levels, level)
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetUserEnum, bufptr != NULL
                                     and entriesread != NULL and totalentries != NULL, number, servername,
                                     NERR_InvalidComputer, JOINED_GROUPS)
    if status == NERR_Success:
        select_all(&wanted, &call.computer.tables[TABLE_USERS])
        wanted.column = USER_FLAGS
        if filter != 0:
            # FILTER_NORMAL_ACCOUNT is 2, UF_NORMAL_ACCOUNT 0x200, and so all five.
            wanted.mask = filter << 8 & 0x3B00
        status = enumerate_rows(&call, TABLE_USERS, number, &wanted, prefmaxlen, True, bufptr, entriesread,
                                totalentries, &handle)
        if resume_handle != NULL:
            resume_handle[0] = <uint32_t>handle
    return call_end(&call, status, bufptr, entriesread, totalentries)


cdef uint32_t netapi_user_get_info(machine_t *machine, uint32_t wchar_bytes, const void *servername,
                                   const void *username, uint32_t level, uint64_t *bufptr) noexcept nogil:
    cdef call_t call
    cdef uint32_t number = struct_at(user_levels, level)
    cdef uint32_t row
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetUserGetInfo, bufptr != NULL
                                     and username != NULL, number, servername, NERR_InvalidComputer, JOINED_GROUPS)
    if status == NERR_Success:
        row = find_row(&call, &call.computer.tables[TABLE_USERS], USER_NAME, username)
        if row == ANY:
            status = NERR_UserNotFound
        else:
            status = answer_one(&call, &call.computer.tables[TABLE_USERS], number, row, bufptr)
    return call_end(&call, status, bufptr, NULL, NULL)


cdef uint32_t netapi_share_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries,
                                uint32_t *resume_handle) noexcept nogil:
    cdef call_t call
    cdef selection_t wanted
    cdef uint64_t handle = 0 if resume_handle == NULL else resume_handle[0]
    cdef uint32_t number = struct_at(share_levels, level)
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetShareEnum, bufptr != NULL
                                     and entriesread != NULL and totalentries != NULL, number, servername,
                                     ERROR_INVALID_NAME, 0 if level < 2 else JOINED_GROUPS)
    if status == NERR_Success:
        select_all(&wanted, &call.computer.tables[TABLE_SHARES])
        status = enumerate_rows(&call, TABLE_SHARES, number, &wanted, prefmaxlen, False, bufptr, entriesread,
                                totalentries, &handle)
        if resume_handle != NULL:
            resume_handle[0] = <uint32_t>handle
    return call_end(&call, status, bufptr, entriesread, totalentries)


cdef uint32_t netapi_local_group_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                      uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread,
                                      uint32_t *totalentries, uint64_t *resumehandle) noexcept nogil:
    cdef call_t call
    cdef selection_t wanted
    cdef uint64_t handle = 0 if resumehandle == NULL else resumehandle[0]
    cdef uint32_t number = struct_at(local_group_levels, level)
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetLocalGroupEnum, bufptr != NULL
                                     and entriesread != NULL and totalentries != NULL, number, servername,
                                     NERR_InvalidComputer, JOINED_GROUPS)
    if status == NERR_Success:
        select_all(&wanted, &call.computer.tables[TABLE_LOCAL_GROUPS])
        status = enumerate_rows(&call, TABLE_LOCAL_GROUPS, number, &wanted, prefmaxlen, True, bufptr, entriesread,
                                totalentries, &handle)
        if resumehandle != NULL:
            resumehandle[0] = handle
    return call_end(&call, status, bufptr, entriesread, totalentries)


cdef uint32_t netapi_local_group_members(machine_t *machine, uint32_t wchar_bytes, const void *servername,
                                         const void *localgroupname, uint32_t level, uint64_t *bufptr,
                                         uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries,
                                         uint64_t *resumehandle) noexcept nogil:
    cdef call_t call
    cdef selection_t wanted
    cdef const table_t *groups
    cdef uint64_t handle = 0 if resumehandle == NULL else resumehandle[0]
    cdef uint32_t number = struct_at(member_levels, level)
    cdef uint32_t row
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetLocalGroupGetMembers, bufptr != NULL
                                     and entriesread != NULL and totalentries != NULL and localgroupname != NULL,
                                     number, servername, NERR_InvalidComputer, JOINED_GROUPS)
    if status == NERR_Success:
        groups = &call.computer.tables[TABLE_LOCAL_GROUPS]
        row = find_row(&call, groups, LOCAL_GROUP_NAME, localgroupname)
        if row == ANY:
            status = NERR_GroupNotFound
        else:
            select_all(&wanted, &call.computer.tables[TABLE_MEMBERS])
            wanted.first = number_at(groups, row, LOCAL_GROUP_FIRST)
            wanted.last = wanted.first + number_at(groups, row, LOCAL_GROUP_MEMBERS)
            status = enumerate_rows(&call, TABLE_MEMBERS, number, &wanted, prefmaxlen, False, bufptr, entriesread,
                                    totalentries, &handle)
            if resumehandle != NULL:
                resumehandle[0] = handle
    return call_end(&call, status, bufptr, entriesread, totalentries)


cdef uint32_t netapi_group_enum(machine_t *machine, uint32_t wchar_bytes, const void *servername, uint32_t level,
                                uint64_t *bufptr, uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries,
                                uint64_t *resume_handle) noexcept nogil:
    cdef call_t call
    cdef selection_t wanted
    cdef uint64_t handle = 0 if resume_handle == NULL else resume_handle[0]
    cdef uint32_t number = struct_at(group_levels, level)
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetGroupEnum, bufptr != NULL
                                     and entriesread != NULL and totalentries != NULL, number, servername,
                                     NERR_InvalidComputer, JOINED_GROUPS)
    if status == NERR_Success:
        select_all(&wanted, &call.computer.tables[TABLE_GROUPS])
        status = enumerate_rows(&call, TABLE_GROUPS, number, &wanted, prefmaxlen, False, bufptr, entriesread,
                                totalentries, &handle)
        if resume_handle != NULL:
            resume_handle[0] = handle
    return call_end(&call, status, bufptr, entriesread, totalentries)


cdef uint32_t netapi_user_local_groups(machine_t *machine, uint32_t wchar_bytes, const void *servername,
                                       const void *username, uint32_t level, uint32_t flags, uint64_t *bufptr,
                                       uint32_t prefmaxlen, uint32_t *entriesread, uint32_t *totalentries
                                       ) noexcept nogil:
    cdef call_t call
    cdef selection_t wanted
    cdef const table_t *users
    cdef uint32_t number = struct_at(user_group_levels, level)
    cdef uint32_t row, next_row
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetUserGetLocalGroups, bufptr != NULL
                                     and entriesread != NULL and totalentries != NULL and username != NULL, number,
                                     servername, NERR_InvalidComputer, JOINED_GROUPS)
    if status == NERR_Success and flags & ~<uint32_t>INCLUDE_INDIRECT:
        status = ERROR_INVALID_FLAGS
    if status == NERR_Success:
        users = &call.computer.tables[TABLE_USERS]
        row = find_row(&call, users, USER_NAME, username)
        if row == ANY:
            status = NERR_UserNotFound
        else:
            select_all(&wanted, &call.computer.tables[TABLE_USERS_GROUPS])
            wanted.first = number_at(users, row, USER_FIRST_GROUP)
            wanted.last = wanted.first + number_at(users, row, USER_GROUPS if flags else USER_DIRECT_GROUPS)
            status = pack(&call, &call.computer.tables[TABLE_USERS_GROUPS], number, &wanted, prefmaxlen, False, bufptr,
                          entriesread, totalentries, &next_row)
    return call_end(&call, status, bufptr, entriesread, totalentries)


cdef uint32_t netapi_query_display(machine_t *machine, uint32_t wchar_bytes, const void *ServerName, uint32_t Level,
                                   uint32_t Index, uint32_t EntriesRequested, uint32_t PreferredMaximumLength,
                                   uint32_t *ReturnedEntryCount, uint64_t *SortedBuffer) noexcept nogil:
    cdef call_t call
    cdef selection_t wanted
    cdef const table_t *table
    cdef uint32_t total, next_row
    cdef uint32_t most = min(max(EntriesRequested, 1), 100)
    cdef uint32_t number = DISPLAY_STRUCT + Level - 1 if 1 <= Level <= 3 else <uint32_t>STRUCTS_MAX
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetQueryDisplayInformation,
                                     ReturnedEntryCount != NULL and SortedBuffer != NULL, number, ServerName,
                                     NERR_InvalidComputer, JOINED_GROUPS)
    if status == NERR_Success:
        table = &call.computer.tables[TABLE_DISPLAY_USERS + Level - 1]
        select_all(&wanted, table)
        wanted.first = min(Index, table.count)
        wanted.last = min(table.count, wanted.first + most)
        status = pack(&call, table, number, &wanted, PreferredMaximumLength, False, SortedBuffer, ReturnedEntryCount,
                      &total, &next_row)
        if status == NERR_Success and next_row < table.count:
            status = ERROR_MORE_DATA
    return call_end(&call, status, SortedBuffer, ReturnedEntryCount, NULL)


cdef uint32_t netapi_get_join(machine_t *machine, uint32_t wchar_bytes, const void *lpServer, uint64_t *lpNameBuffer,
                              uint32_t *BufferType) noexcept nogil:
    cdef call_t call
    cdef uint64_t name = 0
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_NetGetJoinInformation, lpNameBuffer != NULL
                                     and BufferType != NULL, TEXT_STRUCT, lpServer, ERROR_INVALID_NAME, 0)
    if status == NERR_Success:
        status = answer_one(&call, &call.computer.tables[TABLE_JOIN], TEXT_STRUCT, 0, &name)
        if status == NERR_Success:
            lpNameBuffer[0] = name
            BufferType[0] = number_at(&call.computer.tables[TABLE_JOIN], 0, JOIN_KIND)
    return call_end(&call, status, NULL, NULL, NULL)


cdef uint32_t controller_find(call_t *call, const void *domain, const void *guid) noexcept nogil:
    cdef const table_t *table = &call.network.computers[0].tables[TABLE_CONTROLLERS]
    cdef const cell_t *own = &call.network.computers[0].tables[TABLE_DOMAINS].cells[SERVER_NAME]
    cdef uint32_t row
    if domain == NULL or unit_at(domain, 0, call.text_bytes) == 0:
        domain = heap_at(call, own.number, own.wide, call.text_bytes)
    row = find_row(call, table, CONTROLLER_FLAT, domain)
    if row == ANY:
        row = find_row(call, table, CONTROLLER_DOMAIN, domain)
    if row == ANY and guid != NULL:
        for row in range(table.count):
            if memcmp(call.network.narrow + number_at(table, row, CONTROLLER_GUID), guid, 16) == 0:
                return row
        return ANY
    return row


cdef uint32_t netapi_get_dc(machine_t *machine, uint32_t wchar_bytes, const void *ComputerName, const void *DomainName,
                            const void *DomainGuid, const void *SiteName, uint32_t Flags,
                            uint64_t *DomainControllerInfo) noexcept nogil:
    cdef call_t call
    cdef uint32_t row
    cdef uint32_t status = call_open(&call, machine, wchar_bytes, ROUTINE_DsGetDcNameW, DomainControllerInfo != NULL,
                                     CONTROLLER_STRUCT, ComputerName, ERROR_INVALID_COMPUTERNAME, 0)
    if status == ERROR_INVALID_NAME:
        status = ERROR_INVALID_COMPUTERNAME
    if status == NERR_Success:
        if ((Flags & 0x40000 and SiteName != NULL) or Flags & 0xC0000000U == 0xC0000000U
                or Flags & 0x30000 == 0x30000):
            status = ERROR_INVALID_FLAGS
        elif DomainName != NULL and has_any(DomainName, wchar_bytes, b" /:*?\"<>|\\"):
            status = ERROR_INVALID_DOMAINNAME
        else:
            row = controller_find(&call, DomainName, DomainGuid)
            if row == ANY:
                status = ERROR_NO_SUCH_DOMAIN
            else:
                status = answer_one(&call, &call.network.computers[0].tables[TABLE_CONTROLLERS], CONTROLLER_STRUCT, row,
                                    DomainControllerInfo)
    return call_end(&call, status, DomainControllerInfo, NULL, NULL)
