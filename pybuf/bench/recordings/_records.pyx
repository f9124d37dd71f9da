"""Records from text and into text, compiled: recordings of a hundred million lines are read in a minute.

Every parser takes the text in pieces of any length and answers whole records; a line that two pieces
share waits for its end. Nothing here may be shared between threads.
"""
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

cdef enum:
    LINE_BYTES = 160        # no line that a writer makes is longer
    REACH_BYTES = 1 << 16   # how far into a block a buffer is looked for


# ---- the table of live blocks

cdef int table_start(Table *table) except -1:
    table.shift = 64 - 10
    table.mask = (1 << 10) - 1
    table.live = 0
    table.blocks = <Block *>calloc(1 << 10, sizeof(Block))
    if table.blocks == NULL:
        raise MemoryError
    return 0


cdef void table_end(Table *table) noexcept:
    free(table.blocks)
    table.blocks = NULL


cdef inline uint64_t home(const Table *table, uint64_t address) noexcept nogil:
    return (address * <uint64_t>0x9E3779B97F4A7C15u) >> table.shift


cdef Block *table_find(Table *table, uint64_t address) noexcept nogil:
    cdef uint64_t place = home(table, address)
    while table.blocks[place].address:
        if table.blocks[place].address == address:
            return table.blocks + place
        place = (place + 1) & table.mask
    return NULL


cdef bint grow(Table *table) noexcept nogil:
    cdef Table larger
    cdef uint64_t place
    cdef Block *block
    larger.shift = table.shift - 1
    larger.mask = table.mask * 2 + 1
    larger.live = 0
    larger.blocks = <Block *>calloc(larger.mask + 1, sizeof(Block))
    if larger.blocks == NULL:
        return False
    for place in range(table.mask + 1):
        block = table.blocks + place
        if block.address:
            table_add(&larger, block.address, block.size, block.held)
    free(table.blocks)
    table[0] = larger
    return True


cdef Block *table_add(Table *table, uint64_t address, uint64_t size, uint64_t held) noexcept nogil:
    cdef uint64_t place
    cdef Block *block
    if table.live * 2 > table.mask and not grow(table):
        return NULL
    place = home(table, address)
    while table.blocks[place].address:
        place = (place + 1) & table.mask
    block = table.blocks + place
    block.address, block.size, block.held = address, size, held
    table.live += 1
    return block


cdef void table_remove(Table *table, Block *block) noexcept nogil:
    """Take an entry out, and move up those behind it that would not be found across the hole."""
    cdef uint64_t hole = block - table.blocks
    cdef uint64_t place = hole
    table.live -= 1
    while True:
        place = (place + 1) & table.mask
        if not table.blocks[place].address:
            break
        if ((place - home(table, table.blocks[place].address)) & table.mask) >= ((place - hole) & table.mask):
            table.blocks[hole] = table.blocks[place]
            hole = place
    table.blocks[hole].address = 0


# ---- reading lines

cdef struct Word:
    const char *start
    Py_ssize_t length


cdef inline bint is_space(char letter) noexcept nogil:
    return letter == c" " or 9 <= letter <= 13


cdef inline int digit_of(char letter) noexcept nogil:
    if c"0" <= letter <= c"9":
        return letter - c"0"
    letter |= 0x20
    if c"a" <= letter <= c"f":
        return letter - c"a" + 10
    return 99


cdef bint number(const char *text, Py_ssize_t length, int base, uint64_t *value) noexcept nogil:
    """Read all of the text as one number. False when it is none, or does not fit."""
    cdef int digit
    value[0] = 0
    if base == 16 and length > 2 and text[0] == c"0" and (text[1] | 0x20) == c"x":
        text += 2
        length -= 2
    if length < 1 or length > (16 if base == 16 else 19):
        return False
    while length:
        digit = digit_of(text[0])
        if digit >= base:
            return False
        value[0] = value[0] * base + digit
        text += 1
        length -= 1
    return True


cdef bint pointer(const Word *word, uint64_t *value) noexcept nogil:
    if word.length == 5 and memcmp(word.start, b"(nil)", 5) == 0:
        value[0] = 0
        return True
    return number(word.start, word.length, 16, value)


cdef class _Lines:
    """What the two parsers share: pieces of text in, records out."""

    cdef bytes rest             # the beginning of a line whose end has not come yet
    cdef readonly uint64_t torn_lines
    cdef bytearray _records
    cdef Record *_next

    def __cinit__(self):
        self.rest = b""

    def feed(self, bytes piece, bint is_last=False):
        """The records of the lines that ``piece`` ends; with ``is_last``, of a last line without an end too."""
        cdef bytes text = self.rest + piece if self.rest else piece
        cdef const char *at = PyBytes_AS_STRING(text)
        cdef const char *end = at + PyBytes_GET_SIZE(text)
        cdef const char *line_end
        cdef Py_ssize_t lines
        # A line makes two records at most, and is two bytes long if it makes any.
        lines = text.count(b"\n") + 1
        self._records = bytearray(2 * lines * sizeof(Record))
        self._next = <Record *>PyByteArray_AS_STRING(self._records)
        cdef Record *first = self._next
        while at != end:
            line_end = <const char *>memchr(at, c"\n", end - at)
            if line_end == NULL:
                if not is_last:
                    break
                line_end = end
            self.line(at, line_end)
            at = line_end + (line_end != end)
        self.rest = at[:end - at]
        if is_last:
            self.finish()
        PyByteArray_Resize(self._records, (self._next - first) * sizeof(Record))
        records, self._records = self._records, None
        return records

    cdef int line(self, const char *at, const char *end) except -1:
        raise NotImplementedError

    cdef void finish(self) noexcept:
        pass

    cdef void put(
        self, Operation operation, uint64_t address, uint64_t size, uint32_t thread, uint64_t time_ns,
    ) noexcept:
        self._next.time_ns = time_ns
        self._next.address = address
        self._next.size = size
        self._next.thread = thread
        self._next.operation = operation
        self._next += 1


cdef class MtraceLines(_Lines):
    """Parses glibc mtrace text. Lines before ``= Start`` are passed over, torn ones counted."""

    cdef readonly bint is_started
    cdef uint64_t old           # the address of a `<` line that waits for its `>`

    cdef int line(self, const char *at, const char *end) except -1:
        cdef Word[3] last
        cdef Word *words = last
        cdef int count = 0
        cdef const char *start
        cdef uint64_t address = 0
        cdef uint64_t size = 0
        cdef char operation
        cdef bint is_called = False
        while True:
            while at != end and is_space(at[0]):
                at += 1
            if at == end:
                break
            start = at
            while at != end and not is_space(at[0]):
                at += 1
            if count == 0:
                is_called = at - start == 1 and start[0] == c"@"
            if count > 2:
                if not is_called:
                    count += 1
                    break
                last[0], last[1] = last[1], last[2]
            last[min(count, 2)].start = start
            last[min(count, 2)].length = at - start
            count += 1
        if not self.is_started:
            self.is_started = (count == 2 and last[0].length == 1 and last[0].start[0] == c"="
                               and last[1].length == 5 and memcmp(last[1].start, b"Start", 5) == 0)
            return 0
        if count == 0 or (last[0].length == 1 and last[0].start[0] == c"=" and not is_called):
            return 0
        if is_called:   # the caller may hold spaces: only the end of the line is fixed
            count = min(count, 3)
            if count > 2 and last[1].length == 1 and last[1].start[0] in (c"-", c"<"):
                words += 1
                count = 2
        operation = words[0].start[0] if words[0].length == 1 else 0
        if operation == c"-" or operation == c"<":
            if count != 2 or not pointer(words + 1, &address):
                operation = 0
        elif operation == c"+" or operation == c">" or operation == c"!":
            # No program had a size beyond the limit: two numbers have run together.
            if (count != 3 or not pointer(words + 1, &address)
                    or not number(words[2].start, words[2].length, 16, &size) or size >> SIZE_LIMIT_BITS):
                operation = 0
        else:
            operation = 0
        if not operation:
            self.torn_lines += 1
            return 0
        if self.old and operation != c">":
            self.torn_lines += 1    # the second line of a reallocation was lost
            self.old = 0
        if operation == c"+":
            self.put(ALLOCATE, address, size, 0, 0)
        elif operation == c"-":
            self.put(FREE, address, 0, 0, 0)
        elif operation == c"<":
            self.old = address
        elif operation == c"!":
            self.put(FAIL, 0, size, 0, 0)
        elif self.old:
            self.put(REALLOCATE_FROM, self.old, 0, 0, 0)
            self.put(REALLOCATE_TO, address, size, 0, 0)
            self.old = 0
        else:
            self.torn_lines += 1
        return 0

    cdef void finish(self) noexcept:
        if self.old:
            self.torn_lines += 1
            self.old = 0


cdef enum:
    DAY_S = 24 * 60 * 60


cdef class RmmLines(_Lines):
    """Parses the rows of RMM's log, header and all. Thread ids become numbers, in order of appearance."""

    cdef dict threads
    cdef uint64_t last_id, last_ns, day_ns
    cdef uint32_t last_thread

    def __cinit__(self):
        self.threads = {}
        self.last_id = <uint64_t>-1

    cdef int line(self, const char *at, const char *end) except -1:
        cdef Word[6] words
        cdef int count = 0
        cdef const char *comma
        cdef uint64_t thread, time_ns, address, size
        while end != at and is_space(end[-1]):
            end -= 1
        if at == end or (end - at > 7 and memcmp(at, b"Thread,", 7) == 0):
            return 0    # a log that was continued has a header in its middle
        while count < 6:
            comma = <const char *>memchr(at, c",", end - at)
            words[count].start = at
            words[count].length = (end if comma == NULL else comma) - at
            count += 1
            if comma == NULL:
                break
            at = comma + 1
        # A line that lost its stream is whole enough, unless it may have lost digits of the size before it.
        if (count != 6 or comma != NULL or not words[5].length
                or not number(words[0].start, words[0].length, 10, &thread)
                or not self.clock(words + 1, &time_ns) or not pointer(words + 3, &address)
                or not number(words[4].start, words[4].length, 10, &size) or size >> SIZE_LIMIT_BITS):
            self.torn_lines += 1
            return 0
        if thread != self.last_id:
            self.last_id = thread
            self.last_thread = self.threads.setdefault(thread, len(self.threads))
        if words[2].length == 8 and memcmp(words[2].start, b"allocate", 8) == 0:
            self.put(ALLOCATE, address, size, self.last_thread, time_ns)
        elif words[2].length == 4 and memcmp(words[2].start, b"free", 4) == 0:
            self.put(FREE, address, size, self.last_thread, time_ns)
        elif words[2].length == 16 and memcmp(words[2].start, b"allocate failure", 16) == 0:
            self.put(FAIL, 0, size, self.last_thread, time_ns)
        else:
            self.torn_lines += 1
        return 0

    cdef bint clock(self, const Word *word, uint64_t *time_ns) noexcept:
        """Read HH:MM:SS.ffffff, or seconds since 1970 with a fraction. After midnight the clock begins anew."""
        cdef const char *text = word.start
        cdef const char *dot
        cdef Py_ssize_t length = word.length
        cdef uint64_t part, seconds, fraction
        cdef int place
        if length > 9 and text[2] == c":" and text[5] == c":" and (text[8] == c"." or text[8] == c":"):
            seconds = 0
            for place in range(3):
                if not number(text + 3 * place, 2, 10, &part):
                    return False
                seconds = seconds * 60 + part
            text += 9
            length -= 9
            if length > 9 or not number(text, length, 10, &fraction):
                return False
            while length < 9:
                fraction *= 10
                length += 1
            time_ns[0] = seconds * 1000000000 + fraction + self.day_ns
            if time_ns[0] + <uint64_t>DAY_S // 2 * 1000000000 < self.last_ns:
                self.day_ns += <uint64_t>DAY_S * 1000000000
                time_ns[0] += <uint64_t>DAY_S * 1000000000
            self.last_ns = time_ns[0]
            return True
        dot = <const char *>memchr(text, c".", length)
        if dot == NULL:
            return False
        fraction = 0
        if not number(text, dot - text, 10, &seconds) or seconds >> 33:
            return False
        length -= dot + 1 - text
        if length > 9 or not number(dot + 1, length, 10, &fraction):
            return False
        while length < 9:
            fraction *= 10
            length += 1
        time_ns[0] = seconds * 1000000000 + fraction
        return True


# ---- writing lines

cdef class _Text:
    """What the two writers share: records in, text out. ``live`` knows the sizes that a free does not tell."""

    cdef Table live
    cdef dict moving            # thread -> address and size of a block that is being reallocated

    def __cinit__(self):
        table_start(&self.live)
        self.moving = {}

    def __dealloc__(self):
        table_end(&self.live)

    def feed(self, const uint8_t[::1] records):
        """The lines of these records."""
        cdef Py_ssize_t count = records.shape[0] // <Py_ssize_t>sizeof(Record)
        cdef Py_ssize_t number = 0
        cdef const Record *record
        cdef bytearray text = bytearray(2 * LINE_BYTES * count)
        cdef char *first = PyByteArray_AS_STRING(text)
        cdef char *at = first
        if count:
            record = <const Record *>&records[0]
            while number < count:
                at = self.write(record + number, count - number, at)
                number += 1
        PyByteArray_Resize(text, at - first)
        return text

    cdef char *write(self, const Record *record, Py_ssize_t left, char *at) except NULL:
        raise NotImplementedError

    cdef uint64_t forget(self, uint64_t address) noexcept:
        cdef Block *block = table_find(&self.live, address)
        cdef uint64_t size = 0
        if block != NULL:
            size = block.size
            table_remove(&self.live, block)
        return size

    cdef int keep(self, uint64_t address, uint64_t size) except -1:
        cdef Block *block = table_find(&self.live, address)
        if block != NULL:
            block.size = size
        elif table_add(&self.live, address, size, 0) == NULL:
            raise MemoryError
        return 0


cdef class MtraceText(_Text):
    """Writes glibc mtrace text: no threads, times or alignments. The header and the end are the caller's."""

    cdef char *write(self, const Record *record, Py_ssize_t left, char *at) except NULL:
        if record.operation == ALLOCATE:
            at += snprintf(at, LINE_BYTES, b"+ 0x%lx 0x%lx\n", record.address, record.size)
            if record.address:
                self.keep(record.address, record.size)
        elif record.operation == FREE:
            self.forget(record.address)
            at += snprintf(at, LINE_BYTES, b"- 0x%lx\n", record.address)
        elif record.operation == FAIL:
            at += snprintf(at, LINE_BYTES, b"! 0x0 0x%lx\n", record.size)
        elif record.operation == REALLOCATE_FROM:
            # The two lines of a reallocation belong together. Where another thread's event came between
            # them, the block is freed and allocated again: that event may have been given its address.
            size = self.forget(record.address)
            is_pair = left > 1 and record[1].operation == REALLOCATE_TO and record[1].thread == record.thread
            if record.address == 0:     # nothing is moved: what follows is an allocation
                is_pair = False
            elif is_pair and record[1].address:
                at += snprintf(at, LINE_BYTES, b"< 0x%lx\n", record.address)
            elif not (is_pair and record[1].size):
                at += snprintf(at, LINE_BYTES, b"- 0x%lx\n", record.address)
            self.moving[record.thread] = record.address, size, is_pair
        elif record.operation == REALLOCATE_TO:
            old, size, is_pair = self.moving.pop(record.thread, (0, 0, False))
            if record.address:
                at += snprintf(at, LINE_BYTES, b"> 0x%lx 0x%lx\n" if is_pair else b"+ 0x%lx 0x%lx\n",
                               record.address, record.size)
                self.keep(record.address, record.size)
            elif record.size:       # refused: the block lives on
                at += snprintf(at, LINE_BYTES, b"! 0x%lx 0x%lx\n", <uint64_t>old, record.size)
                if old:
                    if not is_pair:
                        at += snprintf(at, LINE_BYTES, b"+ 0x%lx 0x%lx\n", <uint64_t>old, <uint64_t>size)
                    self.keep(old, size)
        return at


cdef class RmmText(_Text):
    """Writes rows of RMM's log: a reallocation becomes a free and an allocation. The header is the caller's."""

    cdef char *row(self, char *at, const Record *record, const char *action, uint64_t address, uint64_t size) noexcept:
        cdef uint64_t us = record.time_ns // 1000
        cdef unsigned int second = <unsigned int>(us // 1000000 % DAY_S)
        return at + snprintf(at, LINE_BYTES, b"%u,%02u:%02u:%02u.%06u,%s,0x%lx,%lu,0x0\n", record.thread,
                             second // 3600, second // 60 % 60, second % 60, <unsigned int>(us % 1000000),
                             action, address, size)

    cdef char *write(self, const Record *record, Py_ssize_t left, char *at) except NULL:
        if record.operation == ALLOCATE:
            if record.address:
                self.keep(record.address, record.size)
                return self.row(at, record, b"allocate", record.address, record.size)
            return self.row(at, record, b"allocate failure", 0, record.size)
        if record.operation == FREE:
            return self.row(at, record, b"free", record.address, self.forget(record.address))
        if record.operation == FAIL:
            return self.row(at, record, b"allocate failure", 0, record.size)
        if record.operation == REALLOCATE_FROM:
            size = self.forget(record.address)
            self.moving[record.thread] = record.address, size
            return self.row(at, record, b"free", record.address, size)
        if record.operation == REALLOCATE_TO:
            old, size = self.moving.pop(record.thread, (0, 0))
            if record.address:
                self.keep(record.address, record.size)
                return self.row(at, record, b"allocate", record.address, record.size)
            if record.size:
                at = self.row(at, record, b"allocate failure", 0, record.size)
                if old:             # refused: the block lives on
                    self.keep(old, size)
                    at = self.row(at, record, b"allocate", old, size)
        return at


# ---- what arrives

cdef struct Arrival:        # what was received last into a live block
    uint64_t size
    uint64_t time_ns


cdef class Arrivals:
    """Sizes of what arrived in buffers, and how long the buffers lived, from records with RECEIVE among them.

    A buffer lives from its receive until the heap block that it lies in is freed, or receives again. A
    reallocation does not end it. A buffer that lies in no block, or more than REACH_BYTES into one, has
    a size and no lifetime.
    """

    cdef Table live             # what is held is the address of an Arrival, or 0
    cdef dict moving            # thread -> what is held, of a block that is being reallocated
    cdef dict sizes             # size -> [receives, lifetimes, ns]
    cdef uint64_t first_ns, last_ns
    cdef readonly uint64_t held_at_end

    def __cinit__(self):
        table_start(&self.live)
        self.moving = {}
        self.sizes = {}

    def __dealloc__(self):
        cdef uint64_t place
        if self.live.blocks != NULL:
            for place in range(self.live.mask + 1):
                if self.live.blocks[place].address:
                    free(<void *>self.live.blocks[place].held)
        table_end(&self.live)

    def feed(self, const uint8_t[::1] records):
        """Take in whole records."""
        cdef Py_ssize_t count = records.shape[0] // <Py_ssize_t>sizeof(Record)
        cdef Py_ssize_t number
        if count:
            for number in range(count):
                self.take(<const Record *>&records[0] + number)

    def finish(self):
        """End what still lives with the last record. Answers (ns in all, {size: (receives, lifetimes, ns)})."""
        cdef uint64_t place
        for place in range(self.live.mask + 1):
            if self.live.blocks[place].address and self.live.blocks[place].held:
                self.held_at_end += 1
                self.end(self.live.blocks + place)
        return self.last_ns - self.first_ns, {size: tuple(self.sizes[size]) for size in sorted(self.sizes)}

    cdef int take(self, const Record *record) except -1:
        cdef Block *block
        cdef uint64_t held
        if not record.operation:
            return 0
        self.last_ns = max(self.last_ns, record.time_ns)
        if not self.first_ns:
            self.first_ns = record.time_ns
        if record.operation == ALLOCATE:
            self.keep(record.address, record.size, 0)
        elif record.operation == FREE or record.operation == REALLOCATE_FROM:
            block = table_find(&self.live, record.address)
            held = 0
            if block != NULL:
                if record.operation == FREE:
                    self.end(block)
                held = block.held
                table_remove(&self.live, block)
            if record.operation == REALLOCATE_FROM:
                self.moving[record.thread] = record.address, held
        elif record.operation == REALLOCATE_TO:
            old, held = self.moving.pop(record.thread, (0, 0))
            self.keep(record.address or old, record.size, held)
            if not record.address and not record.size:      # freed
                block = table_find(&self.live, old)
                if block != NULL:
                    self.end(block)
                    table_remove(&self.live, block)
        elif record.operation == RECEIVE:
            self.sizes.setdefault(record.size, [0, 0, 0])[0] += 1
            block = self.around(record.address)
            if block != NULL:
                self.end(block)
                self.begin(block, record)
        return 0

    cdef int keep(self, uint64_t address, uint64_t size, uint64_t held) except -1:
        cdef Block *block
        if not address:
            return 0
        block = table_find(&self.live, address)
        if block != NULL:
            self.end(block)
            table_remove(&self.live, block)
        if table_add(&self.live, address, size, held) == NULL:
            raise MemoryError
        return 0

    cdef Block *around(self, uint64_t address) noexcept:
        """The live block that an address lies in; blocks begin at multiples of 16."""
        cdef Block *block
        cdef uint64_t start = address & ~<uint64_t>15
        cdef int _step
        for _step in range(REACH_BYTES // 16 + 1):
            block = table_find(&self.live, start)
            if block != NULL:
                return block if address - start < block.size else NULL
            start -= 16
        return NULL

    cdef int begin(self, Block *block, const Record *record) except -1:
        cdef Arrival *arrival = <Arrival *>calloc(1, sizeof(Arrival))
        if arrival == NULL:
            raise MemoryError
        arrival.size, arrival.time_ns = record.size, record.time_ns
        block.held = <uint64_t>arrival
        return 0

    cdef int end(self, Block *block) except -1:
        cdef Arrival *arrival = <Arrival *>block.held
        if arrival != NULL:
            entry = self.sizes[arrival.size]
            entry[1] += 1
            entry[2] += self.last_ns - arrival.time_ns
            free(arrival)
            block.held = 0
        return 0


# ---- columns

def to_columns(const uint8_t[::1] records):
    """The fields of records as one bytearray each: operation, thread, time, address, size, alignment, zeroed."""
    cdef Py_ssize_t count = records.shape[0] // <Py_ssize_t>sizeof(Record)
    cdef Py_ssize_t i
    cdef bytearray operations = bytearray(count), threads = bytearray(4 * count), times = bytearray(8 * count)
    cdef bytearray addresses = bytearray(8 * count), sizes = bytearray(8 * count), alignments = bytearray(count)
    cdef bytearray zeroed = bytearray(count)
    cdef uint8_t *operation = <uint8_t *>PyByteArray_AS_STRING(operations)
    cdef uint32_t *thread = <uint32_t *>PyByteArray_AS_STRING(threads)
    cdef uint64_t *time = <uint64_t *>PyByteArray_AS_STRING(times)
    cdef uint64_t *address = <uint64_t *>PyByteArray_AS_STRING(addresses)
    cdef uint64_t *size = <uint64_t *>PyByteArray_AS_STRING(sizes)
    cdef uint8_t *alignment = <uint8_t *>PyByteArray_AS_STRING(alignments)
    cdef uint8_t *is_zeroed = <uint8_t *>PyByteArray_AS_STRING(zeroed)
    cdef const Record *record
    if count:
        record = <const Record *>&records[0]
        for i in range(count):
            operation[i], thread[i], time[i] = record[i].operation, record[i].thread, record[i].time_ns
            address[i], size[i], alignment[i] = record[i].address, record[i].size, record[i].alignment
            is_zeroed[i] = record[i].flags & IS_ZEROED
    return operations, threads, times, addresses, sizes, alignments, zeroed


def from_columns(Py_ssize_t count, const uint8_t[::1] operations, const uint8_t[::1] threads,
                 const uint8_t[::1] times, const uint8_t[::1] addresses, const uint8_t[::1] sizes,
                 const uint8_t[::1] alignments, const uint8_t[::1] zeroed):
    """Records made of columns of ``count`` values; a column that was not recorded is None."""
    cdef bytearray records = bytearray(count * sizeof(Record))
    cdef Record *record = <Record *>PyByteArray_AS_STRING(records)
    cdef Py_ssize_t i
    cdef bint is_short = operations.shape[0] < count or addresses.shape[0] < 8 * count or sizes.shape[0] < 8 * count
    is_short |= threads is not None and threads.shape[0] < 4 * count
    is_short |= times is not None and times.shape[0] < 8 * count
    is_short |= alignments is not None and alignments.shape[0] < count
    is_short |= zeroed is not None and zeroed.shape[0] < count
    if is_short or count < 1:
        raise ValueError("a column is too short")
    for i in range(count):
        record[i].operation = operations[i]
        record[i].address = (<const uint64_t *>&addresses[0])[i]
        record[i].size = (<const uint64_t *>&sizes[0])[i]
        if threads is not None:
            record[i].thread = (<const uint32_t *>&threads[0])[i]
        if times is not None:
            record[i].time_ns = (<const uint64_t *>&times[0])[i]
        if alignments is not None:
            record[i].alignment = alignments[i]
        if zeroed is not None:
            record[i].flags = IS_ZEROED if zeroed[i] else 0
    return records
