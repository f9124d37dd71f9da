# ---- arguments ---------------------------------------------------------------------------------

cdef str number_text(object number):
    """An int for a message. str() refuses very long ones."""
    if -1 << 256 < number < 1 << 256:
        return str(number)
    return f"{'-' if number < 0 else ''}2**{number.bit_length() - 1} or more"


cdef int size_of_request(object size, uint64_t *out) except -1:
    """Reads a size. SIZE_TOO_LARGE: no address space holds it; the pool need not be asked."""
    if not PyIndex_Check(size):
        raise TypeError(f"size is a number of bytes, an int, not {type(size).__name__} ({size!r})")
    size = PyNumber_Index(size)
    if size < 0:
        raise ValueError(f"size is {number_text(size)}; it is 0 or more bytes")
    if size > REQUEST_MAX:
        out[0] = REQUEST_MAX
        return SIZE_TOO_LARGE
    out[0] = size
    return 0


cdef Py_ssize_t count_of_request(object count) except -1:
    if not PyIndex_Check(count):
        raise TypeError(f"count is a number of blocks, an int, not {type(count).__name__} ({count!r})")
    count = PyNumber_Index(count)
    if count < 0:
        raise ValueError(f"count is {number_text(count)}; it is 0 or more blocks")
    return <Py_ssize_t>min(count, <object>REQUEST_MAX)


cdef uint64_t alignment_of(object align) except? 0:
    if align is None:
        return 0
    if not PyIndex_Check(align):
        raise TypeError(f"align is a power of two in bytes, an int, not {type(align).__name__} ({align!r})")
    align = PyNumber_Index(align)
    if align <= 0 or align & (align - 1) or align > REQUEST_MAX:
        raise ValueError(f"align is {number_text(align)}; it is a power of two, such as 64 or 4096")
    return align


cdef uint32_t tag_of(object tag) except? 0:
    """Four characters as a number, the first in the low byte; 0 for None."""
    cdef uint32_t number = 0
    cdef bytes characters
    cdef int i
    if tag is None:
        return 0
    if isinstance(tag, str):
        try:
            characters = (<str>tag).encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"tag is {tag!r}; it is one to four characters below U+0100") from None
    elif isinstance(tag, bytes):
        characters = <bytes>tag
    else:
        raise TypeError(f"tag is a str of one to four characters, not {type(tag).__name__} ({tag!r})")
    if not 1 <= len(characters) <= 4 or 0 in characters:
        raise ValueError(f"tag is {tag!r}; it is one to four characters, none of them NUL")
    for i in range(len(characters)):
        number |= <uint32_t><unsigned char>characters[i] << (8 * i)
    return number


cdef object tag_text(uint32_t tag):
    if tag == 0:
        return None
    return bytes([(tag >> shift) & 0xFF for shift in (0, 8, 16, 24)]).rstrip(b"\0").decode("latin-1")


cdef uint64_t address_of(object block) except? 0:
    """An address as given to free: any int from 0 to 2**64-1."""
    cdef unsigned long long word
    if PyLong_CheckExact(block):
        word = PyLong_AsUnsignedLongLong(block)
        if word != NO_LIMIT or PyErr_Occurred() == NULL:
            return word
        PyErr_Clear()
        raise OverflowError(f"an address is from 0 to 2**64-1; got {number_text(block)}")
    return address_of(block_index(block))


cdef uint64_t limit_of(str name, object limit) except? 0:
    if limit is None:
        return NO_LIMIT
    if not PyIndex_Check(limit):
        raise TypeError(f"{name} is an int or None, not {type(limit).__name__} ({limit!r})")
    limit = PyNumber_Index(limit)
    if limit < 0:
        raise ValueError(f"{name} is {number_text(limit)}; it is 0 or more, or None for no limit")
    return min(limit, <object>REQUEST_MAX)


cdef int read_sizes(object sizes, pool_config_t *config) except -1:
    """The size classes: rounded up to the alignment, each once, ascending."""
    cdef list rounded
    if sizes is None:
        return 0
    given = [sizes] if PyIndex_Check(sizes) else sizes
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise TypeError(f"sizes is an int or a sequence of ints, not {type(sizes).__name__} ({sizes!r})")
    classes = set()
    for size in given:
        if not PyIndex_Check(size):
            raise TypeError(f"sizes: {size!r} is a {type(size).__name__}, not an int")
        size = PyNumber_Index(size)
        if not 1 <= size <= SMALL_MAX:
            raise ValueError(
                f"sizes: {number_text(size)} is no size class; they are from 1 to {SMALL_MAX} bytes, "
                "larger blocks need none")
        classes.add((size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT)
    if not 1 <= len(classes) <= CLASS_MAX:
        raise ValueError(
            f"sizes: {len(classes)} size classes (in steps of {ALIGNMENT} bytes); a pool has from 1 to {CLASS_MAX}")
    rounded = sorted(classes)
    config.class_count = <uint32_t>len(rounded)
    for i in range(len(rounded)):
        config.class_bytes[<Py_ssize_t>i] = rounded[i]
    return 0
