# What a machine's NetApi functions report: a network, compiled into a snapshot that never changes. It is tables of
# cells, and two heaps with every text in 2- and in 4-byte characters. Layouts say what columns tables have.

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
levels_make(server_levels, "SERVER_INFO_", (100, 101, 102))
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
    os_lock(&snapshots_lock)
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
    calls.lock = &snapshots_lock
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
    """Gives a machine what caller_tables of pybuf.network answers, and the rights."""
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
