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
