# The functions that answer a block: the network compiled, structures packed from it, and the routines that do so.
#
# A network is compiled into a snapshot that never changes: tables of cells, and two heaps with every text in 2- and in
# 4-byte characters. A routine takes a reference to it, finds rows, and packs them: one block with the structures first,
# then what they point to, in the order of the members.

# ---- layouts ------------------------------------------------------------------------------------------

cdef enum:
    KIND_NUMBER = 0
    KIND_TEXT = 1
    KIND_BYTES = 2
    KIND_GUID = 3
    KIND_WHOLE = 4
    MEMBERS_MAX = 32
    STRUCTS_MAX = 64
    TABLES_MAX = 17

cdef struct member_t:
    uint16_t column
    uint16_t kind
    uint16_t offsets[2]         # with pointers of 8 and of 4 bytes

cdef struct struct_t:
    uint32_t count
    uint32_t sizes[2]
    member_t members[MEMBERS_MAX]

# By place in layouts.STRUCTS.
cdef struct_t structs[STRUCTS_MAX]
cdef list struct_list = list(STRUCTS.values())
cdef dict column_kinds = {name: tuple(kinds.values()) for name, kinds in COLUMNS.items()}

# By place in layouts.TABLES.
cdef enum:
    TABLE_SERVERS = 0
    TABLE_DOMAINS = 1
    TABLE_CONTROLLERS = 2
    TABLE_SERVER = 3
    TABLE_WORKSTATION = 4
    TABLE_TRANSPORTS = 5
    TABLE_USERS = 6
    TABLE_SHARES = 7
    TABLE_LOCAL_GROUPS = 8
    TABLE_MEMBERS = 9
    TABLE_USERS_GROUPS = 10
    TABLE_GROUPS = 11
    TABLE_DISPLAY_USERS = 12
    TABLE_DISPLAY_MACHINES = 13
    TABLE_DISPLAY_GROUPS = 14
    TABLE_JOIN = 15
    TABLE_CALLER = 16


cdef uint32_t column_of(str columns, str name):
    return list(COLUMNS[columns]).index(name)


cdef uint32_t struct_of(str name):
    return list(STRUCTS).index(name)


cdef int structs_make() except -1:
    cdef uint32_t number, place, width
    for number, layout in enumerate(struct_list):
        structs[number].count = len(layout.members)
        for width in range(2):
            structs[number].sizes[width] = layout.sizes[width]
        for place, member in enumerate(layout.members):
            structs[number].members[place].column = column_of(layout.columns, member.name)
            structs[number].members[place].kind = member.kind
            for width in range(2):
                structs[number].members[place].offsets[width] = member.offsets[width]
    return 0


structs_make()

cdef uint32_t SERVER_TYPE = column_of("servers", "type")
cdef uint32_t SERVER_NAME = column_of("servers", "name")
cdef uint32_t SERVER_DOMAIN = column_of("servers", "domain")
cdef uint32_t DOMAIN_REFUSES = column_of("servers", "refuses")
cdef uint32_t DOMAIN_FAILING = column_of("servers", "failing")

# Structures by level: pairs, the end marked by a struct of STRUCTS_MAX.
cdef struct level_t:
    uint32_t level
    uint32_t number


cdef int levels_make(level_t *levels, str prefix, tuple known) except -1:
    cdef uint32_t i = 0
    for level in known:
        levels[i].level = level
        levels[i].number = struct_of(f"{prefix}{level}")
        i += 1
    levels[i].number = STRUCTS_MAX
    return 0


cdef level_t server_levels[4]
levels_make(server_levels, "SERVER_INFO_", (100, 101, 102))


cdef uint32_t struct_at(const level_t *levels, uint32_t level) noexcept nogil:
    """The structure of a level; STRUCTS_MAX: none."""
    cdef uint32_t i = 0
    while levels[i].number != STRUCTS_MAX and levels[i].level != level:
        i += 1
    return levels[i].number


# ---- the network, compiled ----------------------------------------------------------------------------

# A number, or where something lies in the heaps: a text in both, bytes and a GUID in the first. A text has its NUL, so
# no bytes at all are a NULL pointer.
cdef struct cell_t:
    uint32_t number             # or the place in the heap of 2-byte characters
    uint32_t bytes
    uint32_t wide               # place in the heap of 4-byte characters
    uint32_t wide_bytes

cdef struct table_t:
    uint32_t count
    uint32_t columns
    cell_t *cells
    uint64_t *given             # bit by row: a resume handle to it was given out; NULL: none was

cdef struct computer_t:
    uint32_t name               # places of it in the heaps
    uint32_t wide_name
    uint32_t has_transports
    table_t tables[TABLES_MAX]

cdef struct snapshot_t:
    uint32_t references         # under snapshots_lock
    uint32_t number
    uint32_t has_list
    uint32_t count
    computer_t *computers       # the local one first
    char *narrow
    char *wide

cdef enum:
    SERVICE_WORKSTATION = 1
    SERVICE_SERVER = 2
    SERVICE_BROWSER = 4
    RIGHT_GROUP = 1
    RIGHT_INTERACTIVE = 2

cdef struct netapi_t:
    snapshot_t *network
    snapshot_t *caller          # one computer with the table `caller`
    uint32_t services
    uint32_t rights

cdef os_lock_t snapshots_lock
os_lock_init(&snapshots_lock)
cdef uint32_t snapshots_made = 0
cdef snapshot_t *default_network = NULL
cdef snapshot_t *default_caller = NULL
cdef tuple default_tables = None


cdef snapshot_t *snapshot_take(snapshot_t **where) noexcept nogil:
    """A reference to what is there now, or NULL."""
    cdef snapshot_t *snapshot
    os_lock(&snapshots_lock)
    snapshot = where[0]
    if snapshot != NULL:
        snapshot.references += 1
    os_unlock(&snapshots_lock)
    return snapshot


cdef void snapshot_drop(snapshot_t *snapshot) noexcept nogil:
    cdef uint32_t left, i, table
    if snapshot == NULL:
        return
    os_lock(&snapshots_lock)
    snapshot.references -= 1
    left = snapshot.references
    os_unlock(&snapshots_lock)
    if left != 0:
        return
    for i in range(snapshot.count if snapshot.computers != NULL else 0):
        for table in range(TABLES_MAX):
            free(snapshot.computers[i].tables[table].cells)
            free(snapshot.computers[i].tables[table].given)
    free(snapshot.computers)
    free(snapshot.narrow)
    free(snapshot.wide)
    free(snapshot)


cdef void snapshot_put(snapshot_t **where, snapshot_t *snapshot) noexcept:
    """Puts another; takes over the reference."""
    cdef snapshot_t *old
    lock_with_gil(&snapshots_lock)
    old = where[0]
    where[0] = snapshot
    os_unlock(&snapshots_lock)
    snapshot_drop(old)


cdef class Heaps:
    """Texts and bytes as they are gathered, each once."""

    cdef bytearray narrow
    cdef bytearray wide
    cdef dict known

    def __init__(self):
        self.narrow = bytearray()
        self.wide = bytearray()
        self.known = {}

    cdef tuple put_text(self, str text):
        found = self.known.get(text)
        if found is None:
            narrow = text.encode("utf-16-le", "surrogatepass") + b"\0\0"
            wide = text.encode("utf-32-le", "surrogatepass") + b"\0\0\0\0"
            found = (len(self.narrow), len(narrow), len(self.wide), len(wide))
            self.narrow += narrow
            self.wide += wide
            self.known[text] = found
        return found


cdef char *copied(bytearray data) except NULL:
    cdef char *copy = <char *>malloc(len(data) + 1)
    if copy == NULL:
        raise MemoryError
    memcpy(copy, <char *>data, len(data))
    return copy


cdef int table_make(table_t *table, str columns, list rows, Heaps heaps) except -1:
    cdef tuple kinds = column_kinds[columns]
    cdef cell_t *cell
    cdef object value
    table.count = len(rows)
    table.columns = len(kinds)
    if table.count == 0:
        return 0
    table.cells = <cell_t *>calloc(table.count * table.columns, sizeof(cell_t))
    if table.cells == NULL:
        raise MemoryError
    cell = table.cells
    for row in rows:
        for value, kind in zip(row, kinds, strict=True):
            if kind == KIND_NUMBER:
                cell.number = <uint32_t>int(value)
            elif value is not None:
                if kind == KIND_TEXT or kind == KIND_WHOLE:
                    cell.number, cell.bytes, cell.wide, cell.wide_bytes = heaps.put_text(value)
                else:
                    cell.number = len(heaps.narrow)
                    cell.bytes = len(value)
                    heaps.narrow += value + bytes(len(value) & 1)
            cell += 1
    return 0


cdef snapshot_t *snapshot_make(list computers, bint has_list) except NULL:
    """A snapshot of computers as pybuf.network has them: tables by name."""
    global snapshots_made
    cdef snapshot_t *snapshot = <snapshot_t *>calloc(1, sizeof(snapshot_t))
    cdef Heaps heaps = Heaps()
    cdef computer_t *computer
    cdef uint32_t i, table
    if snapshot == NULL:
        raise MemoryError
    snapshot.references = 1
    try:
        snapshots_made += 1
        snapshot.number = snapshots_made
        snapshot.has_list = has_list
        snapshot.computers = <computer_t *>calloc(len(computers), sizeof(computer_t))
        if snapshot.computers == NULL:
            raise MemoryError
        snapshot.count = len(computers)
        for i in range(snapshot.count):
            tables = computers[i]
            computer = &snapshot.computers[i]
            computer.name, _, computer.wide_name, _ = heaps.put_text(tables.get("name", ""))
            computer.has_transports = tables.get("supports_transports", False)
            for table, (name, columns) in enumerate(TABLES.items()):
                if name in tables:
                    table_make(&computer.tables[table], columns, tables[name], heaps)
        if len(heaps.wide) > 0xFFFFFFFF:
            raise ValueError("the texts of the network have more than 2**32 bytes")
        snapshot.narrow = copied(heaps.narrow)
        snapshot.wide = copied(heaps.wide)
    except BaseException:
        snapshot_drop(snapshot)
        raise
    return snapshot


cdef int machine_made(machine_t *machine) except -1:
    cdef netapi_t *netapi = <netapi_t *>calloc(1, sizeof(netapi_t))
    if netapi == NULL:
        raise MemoryError
    netapi.services = SERVICE_WORKSTATION | SERVICE_SERVER | SERVICE_BROWSER
    netapi.rights = RIGHT_GROUP | RIGHT_INTERACTIVE
    netapi.network = snapshot_take(&default_network)
    netapi.caller = snapshot_take(&default_caller)
    machine.families[FAMILY_NETAPI] = netapi
    return 0


cdef void machine_closed(machine_t *machine) noexcept:
    cdef netapi_t *netapi = <netapi_t *>machine.families[FAMILY_NETAPI]
    machine.families[FAMILY_NETAPI] = NULL
    if netapi != NULL:
        snapshot_put(&netapi.network, NULL)
        snapshot_put(&netapi.caller, NULL)
        free(netapi)


def network_default(tuple network, dict caller):
    """What machines have until they are given another: compiled by pybuf.network when it is loaded."""
    global default_network, default_caller
    cdef family_calls_t calls
    if default_network != NULL:
        return
    default_network = snapshot_make(network[0], network[1])
    default_caller = snapshot_make([caller], False)
    memset(&calls, 0, sizeof(calls))
    calls.made = machine_made
    calls.closed = machine_closed
    family_register(FAMILY_NETAPI, &calls)


cdef netapi_t *netapi_of(MachineBase machine) except NULL:
    machine_is_open_or_raise(machine)
    if machine.machine.families[FAMILY_NETAPI] == NULL:
        raise RuntimeError("pybuf.network is not loaded")
    return <netapi_t *>machine.machine.families[FAMILY_NETAPI]


def network_set(MachineBase machine, tuple network):
    """Gives a machine what Network.compiled answers."""
    cdef netapi_t *netapi = netapi_of(machine)
    snapshot_put(&netapi.network, snapshot_make(network[0], network[1]))


def caller_set(MachineBase machine, dict caller, bint is_privileged, bint is_interactive):
    """Gives a machine what Caller.compiled answers, and the rights."""
    cdef netapi_t *netapi = netapi_of(machine)
    snapshot_put(&netapi.caller, snapshot_make([caller], False))
    netapi.rights = RIGHT_GROUP * is_privileged | RIGHT_INTERACTIVE * is_interactive


cdef dict service_bits = {"workstation": SERVICE_WORKSTATION, "server": SERVICE_SERVER, "browser": SERVICE_BROWSER}


def services_set(MachineBase machine, services):
    """Says which services run: names of `workstation`, `server`, `browser`."""
    cdef netapi_t *netapi = netapi_of(machine)
    cdef uint32_t bits = 0
    if isinstance(services, str):
        raise TypeError(f"services is the set of those that run, not a text ({services!r})")
    for name in services:
        if name not in service_bits:
            raise ValueError(f"services has {name!r}; the services are {', '.join(service_bits)}")
        bits |= service_bits[name]
    netapi.services = bits


def services_get(MachineBase machine):
    """The names of the services that run."""
    cdef uint32_t bits = netapi_of(machine).services
    return frozenset([name for name, bit in service_bits.items() if bits & bit])


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


# ---- NetServerEnum ------------------------------------------------------------------------------------

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


# ---- blocks, read back --------------------------------------------------------------------------------

cdef list entry_types = [None] * STRUCTS_MAX


cdef object entry_type(uint32_t number):
    """The named tuple of a structure."""
    if entry_types[number] is None:
        layout = struct_list[number]
        entry_types[number] = namedtuple(layout.name, [member.name for member in layout.members],
                                         module="pybuf.netapi")
    return entry_types[number]


cdef object text_read(const char *block, uint64_t size, uint64_t offset, uint32_t wchar_bytes):
    """The text at an offset of a block: up to its NUL, or to the end of the block where somebody wrote over that."""
    cdef uint64_t units = 0
    cdef uint64_t units_max = (size - offset) // wchar_bytes
    cdef uint32_t unit
    cdef uint32_t widest = 0
    cdef const char *text = block + offset
    cdef unsigned char *narrow
    cdef uint64_t i
    while units < units_max:
        unit = unit_at(text, units, wchar_bytes)
        if unit == 0:
            break
        widest |= unit
        units += 1
    if widest < 128:
        found = PyUnicode_New(units, 127)
        narrow = <unsigned char *>PyUnicode_DATA(found)
        for i in range(units):
            narrow[i] = <unsigned char>unit_at(text, i, wchar_bytes)
        return found
    return text[:units * wchar_bytes].decode("utf-16-le" if wchar_bytes == 2 else "utf-32-le",
                                             "surrogatepass" if wchar_bytes == 2 else "replace")


cdef list entries_read(const char *block, uint64_t size, uint64_t base, const note_t *note):
    """The structures of a block of `size` bytes, whose pointers count from `base`."""
    cdef uint32_t number = note.owner
    cdef uint32_t width = 1 if note.extra & NOTE_NARROW else 0
    cdef uint32_t wchar_bytes = 4 if note.extra & NOTE_WIDE else 2
    cdef uint32_t count = note.extra & (NOTE_WIDE - 1)
    cdef const struct_t *layout = &structs[number]
    cdef object kind = entry_type(number)
    cdef allocfunc allocate_one = (<PyTypeObject *>kind).tp_alloc
    cdef const member_t *member
    cdef const char *at
    cdef uint64_t offset
    cdef uint32_t i, j
    cdef uint32_t last[MEMBERS_MAX]
    cdef PyObject *numbers[MEMBERS_MAX]
    cdef object entry, value
    cdef list entries
    cdef bint was_enabled
    if layout.sizes[width] != 0 and count > size // layout.sizes[width]:
        count = <uint32_t>(size // layout.sizes[width])
    for j in range(layout.count):
        numbers[j] = NULL
    entries = [None] * count
    # A list of fresh tuples without cycles: collections meanwhile would find nothing.
    was_enabled = PyGC_Disable()
    try:
        for i in range(count):
            entry = allocate_one(kind, layout.count)
            at = block + <uint64_t>i * layout.sizes[width]
            for j in range(layout.count):
                member = &layout.members[j]
                if member.kind == KIND_NUMBER:
                    # Neighbours often have the same one.
                    if numbers[j] == NULL or last[j] != (<const uint32_t *>(at + member.offsets[width]))[0]:
                        last[j] = (<const uint32_t *>(at + member.offsets[width]))[0]
                        value = last[j]
                        numbers[j] = <PyObject *>value
                    else:
                        value = <object>numbers[j]
                elif member.kind == KIND_WHOLE:
                    value = text_read(block, size, 0, wchar_bytes)
                elif member.kind == KIND_GUID:
                    value = UUID(bytes_le=at[member.offsets[width]:member.offsets[width] + 16])
                else:
                    offset = ((<const uint64_t *>(at + member.offsets[0]))[0] if width == 0
                              else (<const uint32_t *>(at + member.offsets[1]))[0])
                    if offset == 0 or offset - base >= size:
                        # NULL; or somebody wrote over the pointer.
                        value = None
                    elif member.kind == KIND_TEXT:
                        value = text_read(block, size, offset - base, wchar_bytes)
                    else:
                        value = bytes_read(block, size, offset - base)
                result_put(<PyObject *>entry, j, value)
            entries[i] = entry
    finally:
        if was_enabled:
            PyGC_Enable()
    return entries


cdef object bytes_read(const char *block, uint64_t size, uint64_t offset):
    cdef uint32_t count
    if offset < 4:
        return None
    count = (<const uint32_t *>(block + offset - 4))[0]
    return block[offset:offset + count] if count <= size - offset else None


cdef note_t *produced_note(MachineBase machine, uint64_t address) except NULL:
    """The note of a live block of a producer; ValueError."""
    cdef block_t block
    cdef note_t *note = NULL
    machine_is_open_or_raise(machine)
    if pool_kind_of(machine.machine, address) == POOL_PRODUCED:
        if (pool_block_at(machine.machine.pools[POOL_PRODUCED], address, &block) and block.address == address
                and block.state in (RECORD_LIVE, RECORD_HELD, RECORD_EXPORTED)):
            note = note_at(machine.machine, POOL_PRODUCED, address)
    if note == NULL:
        raise ValueError(f"{address:#x} is no live block that a NetApi function of this machine answered")
    return note


cdef list entries_at(MachineBase machine, uint64_t address):
    cdef note_t note = produced_note(machine, address)[0]
    cdef bytearray copy
    if not machine.machine.is_guest:
        return entries_read(<const char *>address, note.size, address, &note)
    copy = bytearray(note.size)
    if guest_read(machine.machine, address, <char *>copy, note.size) != 0:
        raise ValueError(f"the block at {address:#x} is in the guest's memory: Guest(..., on_read=) reads it")
    return entries_read(<char *>copy, note.size, address, &note)


def entries(buffer):
    """The structures of a block that a function of NetApi answered, however it was called.

    Parameters
    ----------
    buffer : NetBuffer, int or None
        The block, or its address, of the current machine.

    Returns
    -------
    list
        Named tuples with the members of the structure, as `NetBuffer.entries`; none for None.

    Raises
    ------
    ValueError
        It is no such block, or was freed; or it is in a guest that cannot be read.
    """
    cdef uint64_t address
    cdef PyObject *held
    address_of_argument(buffer, &address, &held)
    if isinstance(buffer, NetBuffer):
        return buffer.entries
    return [] if address == 0 else entries_at(<MachineBase>machine_now(), address)


@cython.final
cdef class NetBuffer(Reference):
    """A block that a NetApi function answered: an array of structures, and what they point to, in one.

    It is the machine's until NetApiBufferFree; losing the object frees nothing. It has the buffer protocol, over the
    bytes of the block; views of it are to be released before the block is freed.
    """

    cdef Buffer buffer          # None: on_write freed the block before it was answered
    cdef MachineBase machine
    cdef uint64_t given
    cdef readonly str struct
    """The name of the structure in C; TEXT for a name alone."""

    def __init__(self):
        raise TypeError("a NetBuffer is made by the NetApi functions; address.entries() reads one by its address")

    cdef uint64_t number(self) except? 0:
        # Without a Buffer to tell that it is dead, an address of nobody's.
        return 1 if self.buffer is None else self.given

    cdef PyObject *held(self) noexcept:
        return NULL if self.buffer is None else <PyObject *>self.buffer

    cdef bint is_dead(self) noexcept:
        return self.buffer is None or buffer_address(self.buffer) == 0

    @property
    def address(self):
        """Where the block is; None once it was freed."""
        return None if self.is_dead() else self.given

    @property
    def size(self):
        """Bytes of the block, structures and strings; ValueError once it was freed."""
        return self.note().size

    @property
    def count(self):
        """Structures in it; ValueError once it was freed."""
        return self.note().extra & (NOTE_WIDE - 1)

    cdef note_t *note(self) except NULL:
        machine_is_open_or_raise(self.machine)
        if self.is_dead():
            raise ValueError(f"the block at {self.given:#x} was freed")
        return produced_note(self.machine, self.given)

    @property
    def entries(self):
        """The structures: a new list of named tuples, whose members are those of C without the prefix. Strings are
        str, a NULL pointer is None, counted bytes are bytes, a GUID is a UUID. ValueError once it was freed."""
        self.note()
        return entries_at(self.machine, self.given)

    @property
    def dtype(self):
        """What numpy.dtype takes for a structure: names, formats, offsets and itemsize; pointers are integers. For a
        name alone, for one of its characters."""
        cdef uint32_t extra = self.note().extra
        cdef uint32_t width = 1 if extra & NOTE_NARROW else 0
        cdef uint32_t character = 4 if extra & NOTE_WIDE else 2
        layout = STRUCTS[self.struct]
        formats = {KIND_NUMBER: "<u4", KIND_GUID: "V16", KIND_WHOLE: f"<u{character}"}
        return {
            "names": [member.name for member in layout.members],
            "formats": [formats.get(member.kind, "<u4" if width else "<u8") for member in layout.members],
            "offsets": [member.offsets[width] for member in layout.members],
            "itemsize": layout.sizes[width] or character,
        }

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer *view, int flags):
        self.note()
        PyObject_GetBuffer(self.buffer, view, flags)

    def __repr__(self):
        if self.is_dead():
            return f"<NetBuffer of {self.struct}, freed>"
        return f"<NetBuffer of {self.count} {self.struct}, {self.size} bytes at {self.given:#x}>"


cdef object netbuffer(MachineBase machine, uint64_t address):
    """The NetBuffer of a block that was just made; None for NULL."""
    cdef NetBuffer made
    if address == 0:
        return None
    made = NetBuffer.__new__(NetBuffer)
    made.machine = machine
    made.given = address
    made.struct = struct_list[note_at(machine.machine, POOL_PRODUCED, address).owner].name
    made.buffer = buffer_adopt(<Pool>machine.pools[POOL_PRODUCED], address)
    return made


# ---- Python -------------------------------------------------------------------------------------------

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


# ---- what the others share ----------------------------------------------------------------------------

cdef enum:
    JOINED_GROUPS = RIGHT_GROUP | RIGHT_INTERACTIVE
    INCLUDE_INDIRECT = 1

cdef level_t wksta_levels[4]
cdef level_t caller_levels[4]
cdef level_t transport_levels[2]
cdef level_t users_levels[8]
cdef level_t user_levels[11]
cdef level_t share_levels[6]
cdef level_t local_group_levels[3]
cdef level_t member_levels[5]
cdef level_t user_group_levels[2]
cdef level_t group_levels[4]
levels_make(wksta_levels, "WKSTA_INFO_", (100, 101, 102))
levels_make(caller_levels, "WKSTA_USER_INFO_", (0, 1, 1101))
levels_make(transport_levels, "WKSTA_TRANSPORT_INFO_", (0,))
levels_make(users_levels, "USER_INFO_", (0, 1, 2, 3, 10, 11, 20))
levels_make(user_levels, "USER_INFO_", (0, 1, 2, 3, 4, 10, 11, 20, 23, 24))
levels_make(share_levels, "SHARE_INFO_", (0, 1, 2, 502, 503))
levels_make(local_group_levels, "LOCALGROUP_INFO_", (0, 1))
levels_make(member_levels, "LOCALGROUP_MEMBERS_INFO_", (0, 1, 2, 3))
levels_make(user_group_levels, "LOCALGROUP_USERS_INFO_", (0,))
levels_make(group_levels, "GROUP_INFO_", (0, 1, 2))

cdef uint32_t TEXT_STRUCT = struct_of("TEXT")
cdef uint32_t CONTROLLER_STRUCT = struct_of("DOMAIN_CONTROLLER_INFOW")
cdef uint32_t DISPLAY_STRUCT = struct_of("NET_DISPLAY_USER")       # of machines and of groups follow it
cdef uint32_t USER_NAME = column_of("users", "name")
cdef uint32_t USER_FLAGS = column_of("users", "flags")
cdef uint32_t USER_FIRST_GROUP = column_of("users", "first_group")
cdef uint32_t USER_DIRECT_GROUPS = column_of("users", "direct_groups")
cdef uint32_t USER_GROUPS = column_of("users", "groups")
cdef uint32_t LOCAL_GROUP_NAME = column_of("local_groups", "name")
cdef uint32_t LOCAL_GROUP_FIRST = column_of("local_groups", "first_member")
cdef uint32_t LOCAL_GROUP_MEMBERS = column_of("local_groups", "members")
cdef uint32_t JOIN_KIND = column_of("names", "kind")
cdef uint32_t CONTROLLER_DOMAIN = column_of("controllers", "DomainName")
cdef uint32_t CONTROLLER_FLAT = column_of("controllers", "flat")
cdef uint32_t CONTROLLER_GUID = column_of("controllers", "DomainGuid")


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


# ---- the others ---------------------------------------------------------------------------------------

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


# ---- Python -------------------------------------------------------------------------------------------

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
