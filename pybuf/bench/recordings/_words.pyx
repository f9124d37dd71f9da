"""Turns records into trace words, which go to files as they are made: only live blocks stay in memory."""
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc, realloc

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory

from pybuf.bench.recordings._records cimport (
    ALLOCATE,
    FAIL,
    FREE,
    IS_ZEROED,
    REALLOCATE_FROM,
    REALLOCATE_TO,
    SIZE_LIMIT_BITS,
    Block,
    Record,
    Table,
    table_add,
    table_end,
    table_find,
    table_remove,
    table_start,
)
from pybuf.bench.recordings._word cimport ALLOCATE as WORD_ALLOCATE
from pybuf.bench.recordings._word cimport FREE as WORD_FREE
from pybuf.bench.recordings._word cimport REALLOCATE as WORD_REALLOCATE
from pybuf.bench.recordings._word cimport SIZE_SHIFT, SLOT_LIMIT, SLOT_SHIFT
from pybuf.bench.recordings._word cimport ZEROED as WORD_ZEROED

cdef enum:
    THREAD_LIMIT = 1 << 16
    FILE_WORDS = 1 << 15    # words that wait to be written

cdef struct Moving:         # a block between the two records of its reallocation
    uint64_t address        # 0: none is being reallocated
    uint64_t size
    uint64_t slot
    bint is_known


cdef class Words:
    """Words of one trace.

    words, threads, times, alignments   binary files to write to, the last three None where nothing is recorded

    The addresses of a recording become slots: the slot freed last is used first. What cannot be
    replayed is counted; that includes blocks of 64 GiB and more. Raises what writing to the files raises,
    and OverflowError when more blocks are live at once, or more threads ran, than a word can number.
    """

    cdef Table live
    cdef Table size_table       # size + 1 as the address, how often as what is held
    cdef Table thread_table     # a thread + 1 as the address, its number as what is held
    cdef uint64_t *spare        # slots to use again, the last freed at the end
    cdef uint64_t spare_count, spare_room
    cdef Moving *moving         # by number of thread
    cdef uint64_t moving_count
    cdef uint64_t *word_file
    cdef uint64_t *time_file
    cdef uint16_t *thread_file
    cdef uint8_t *alignment_file
    cdef object words, threads, times, alignments
    cdef uint64_t waiting
    cdef uint64_t first_ns, last_ns
    cdef bint has_first
    cdef readonly uint64_t count, slots, live_bytes, peak_live_bytes, peak_live_blocks, peak_word
    cdef readonly uint64_t recorded_events, recorded_calls, replayed_events
    cdef readonly uint64_t unknown_frees, torn_records, lost_frees, failed_allocations, too_large
    cdef readonly uint64_t aligned_allocations, zeroed_allocations

    def __cinit__(self, words, threads=None, times=None, alignments=None):
        self.words, self.threads, self.times, self.alignments = words, threads, times, alignments
        table_start(&self.live)
        table_start(&self.size_table)
        table_start(&self.thread_table)
        self.spare_room = 1024
        self.spare = <uint64_t *>malloc(self.spare_room * sizeof(uint64_t))
        self.word_file = <uint64_t *>malloc(FILE_WORDS * sizeof(uint64_t))
        self.time_file = <uint64_t *>malloc(FILE_WORDS * sizeof(uint64_t))
        self.thread_file = <uint16_t *>malloc(FILE_WORDS * sizeof(uint16_t))
        self.alignment_file = <uint8_t *>malloc(FILE_WORDS)
        if not (self.spare and self.word_file and self.time_file and self.thread_file and self.alignment_file):
            raise MemoryError

    def __dealloc__(self):
        table_end(&self.live)
        table_end(&self.size_table)
        table_end(&self.thread_table)
        free(self.spare)
        free(self.moving)
        free(self.word_file)
        free(self.time_file)
        free(self.thread_file)
        free(self.alignment_file)

    def feed(self, const uint8_t[::1] records):
        """Append the words of whole records."""
        cdef Py_ssize_t count = records.shape[0] // <Py_ssize_t>sizeof(Record)
        cdef const Record *record
        cdef const Record *end
        if count:
            record = <const Record *>&records[0]
            end = record + count
            while record != end:
                self.take(record)
                record += 1

    def finish(self):
        """End the recording and write what waits; answers how many words it has.

        A FREE for each block that is still live follows them in the file of words, and an alignment of 0 in that of
        alignments; the other files end with the recording.
        """
        cdef uint64_t thread, place, recorded
        cdef Moving *moving
        for thread in range(self.moving_count):
            moving = self.moving + thread
            if moving.address:
                self.torn_records += 1
                self.restore(moving)
        self.flush()
        recorded = self.count
        self.threads = self.times = None
        for place in range(self.live.mask + 1):
            if self.live.blocks[place].address:
                self.put(WORD_FREE | self.live.blocks[place].held << SLOT_SHIFT, NULL, 0)
        self.flush()
        return recorded

    @property
    def live_blocks(self):
        return self.live.live

    @property
    def thread_count(self):
        return self.thread_table.live

    @property
    def duration_ns(self):
        return self.last_ns

    def size_counts(self):
        """How often each size was asked for, in order of size."""
        cdef uint64_t place
        return dict(sorted([
            (self.size_table.blocks[place].address - 1, self.size_table.blocks[place].held)
            for place in range(self.size_table.mask + 1) if self.size_table.blocks[place].address
        ]))

    cdef int take(self, const Record *record) except -1:
        cdef uint64_t thread
        if record.operation == ALLOCATE:
            thread = self.thread(record)
            self.recorded_events += 1
            self.recorded_calls += 1
            if not record.address:
                self.failed_allocations += 1
                return 0
            self.settle(record, thread)
            if record.size >> SIZE_LIMIT_BITS:
                self.too_large += 1
            else:
                self.start(record, thread)
        elif record.operation == FREE:
            thread = self.thread(record)
            self.recorded_events += 1
            self.recorded_calls += 1
            if not self.end(record.address, record, thread):
                self.unknown_frees += 1
        elif record.operation == REALLOCATE_FROM:
            thread = self.thread(record)
            self.move_from(record, self.moving + thread)
        elif record.operation == REALLOCATE_TO:
            thread = self.thread(record)
            self.move_to(record, self.moving + thread, thread)
        elif record.operation == FAIL:
            self.recorded_events += 1
            self.recorded_calls += 1
            self.failed_allocations += 1
        else:
            self.torn_records += 1
        return 0

    cdef int move_from(self, const Record *record, Moving *moving) except -1:
        cdef Block *block
        if moving.address:
            self.torn_records += 1      # the second half was lost, and its block lives on
            self.restore(moving)
        moving.address = record.address
        block = table_find(&self.live, record.address)
        moving.is_known = block != NULL
        if block != NULL:   # from now on its address may be another's
            moving.size, moving.slot = block.size, block.held
            table_remove(&self.live, block)
        return 0

    cdef int move_to(self, const Record *record, Moving *moving, uint64_t thread) except -1:
        cdef bint is_too_large = record.address and record.size >> SIZE_LIMIT_BITS
        if not moving.address:
            self.torn_records += 1
            return 0
        self.recorded_events += 2
        self.recorded_calls += 1
        if not record.address and record.size:
            self.failed_allocations += 1
            self.restore(moving)
            return 0
        if record.address:
            self.settle(record, thread)
        if not moving.is_known:
            self.unknown_frees += 1
        elif not record.size or is_too_large:   # to nothing: some allocators free the block, some do not
            self.drop(moving.slot, moving.size, record, thread)
        if is_too_large:
            self.too_large += 1
        elif record.address:
            if moving.is_known and record.size:
                self.replayed_events += 1
                self.live_bytes -= moving.size
                self.hold(WORD_REALLOCATE, moving.slot, record, thread)
            else:
                self.start(record, thread)
        moving.address = 0
        return 0

    cdef int restore(self, Moving *moving) except -1:
        if moving.is_known:
            if table_find(&self.live, moving.address) == NULL:
                self.add(&self.live, moving.address, moving.size, moving.slot)
            else:                       # handed out meanwhile: it was freed after all
                self.lost_frees += 1
                self.drop(moving.slot, moving.size, NULL, 0)
        moving.address = 0
        return 0

    cdef int settle(self, const Record *record, uint64_t thread) except -1:
        """Free what is still live at an address that is handed out again: that free was lost."""
        if self.end(record.address, record, thread):
            self.lost_frees += 1
        return 0

    cdef int start(self, const Record *record, uint64_t thread) except -1:
        cdef uint64_t slot
        if self.spare_count:
            self.spare_count -= 1
            slot = self.spare[self.spare_count]
        else:
            slot = self.slots
            if slot >= SLOT_LIMIT:
                raise OverflowError(f"more than {SLOT_LIMIT:,} blocks are live at once")
            self.slots += 1
        if record.operation == ALLOCATE and record.flags & IS_ZEROED:
            self.zeroed_allocations += 1
            return self.hold(WORD_ZEROED, slot, record, thread)
        return self.hold(WORD_ALLOCATE, slot, record, thread)

    cdef int hold(self, uint64_t operation, uint64_t slot, const Record *record, uint64_t thread) except -1:
        cdef Block *block
        self.put(operation | slot << SLOT_SHIFT | record.size << SIZE_SHIFT, record, thread)
        self.replayed_events += 1
        self.add(&self.live, record.address, record.size, slot)
        block = table_find(&self.size_table, record.size + 1)
        if block == NULL:
            self.add(&self.size_table, record.size + 1, 0, 1)
        else:
            block.held += 1
        if record.alignment:
            self.aligned_allocations += 1
        self.live_bytes += record.size
        self.peak_live_blocks = max(self.peak_live_blocks, self.live.live)
        if self.live_bytes > self.peak_live_bytes:
            self.peak_live_bytes, self.peak_word = self.live_bytes, self.count
        return 0

    cdef bint end(self, uint64_t address, const Record *record, uint64_t thread) except -1:
        """Free the block at an address, if there is one."""
        cdef Block *block = table_find(&self.live, address)
        cdef uint64_t slot, size
        if block == NULL:
            return False
        slot, size = block.held, block.size
        table_remove(&self.live, block)
        self.drop(slot, size, record, thread)
        return True

    cdef int drop(self, uint64_t slot, uint64_t size, const Record *record, uint64_t thread) except -1:
        cdef uint64_t *more
        self.put(WORD_FREE | slot << SLOT_SHIFT, record, thread)
        self.replayed_events += 1
        self.live_bytes -= size
        if self.spare_count == self.spare_room:
            more = <uint64_t *>realloc(self.spare, 2 * self.spare_room * sizeof(uint64_t))
            if more == NULL:
                raise MemoryError
            self.spare = more
            self.spare_room *= 2
        self.spare[self.spare_count] = slot
        self.spare_count += 1
        return 0

    cdef int add(self, Table *table, uint64_t address, uint64_t size, uint64_t held) except -1:
        if table_add(table, address, size, held) == NULL:
            raise MemoryError
        return 0

    cdef uint64_t thread(self, const Record *record) except? 1234567:
        """The number of the thread of a record: they are numbered in the order in which they appear."""
        cdef Block *block = table_find(&self.thread_table, <uint64_t>record.thread + 1)
        cdef Moving *more
        cdef uint64_t room
        if block != NULL:
            return block.held
        if self.thread_table.live == THREAD_LIMIT:
            raise OverflowError(f"more than {THREAD_LIMIT:,} threads were recorded")
        if self.thread_table.live == self.moving_count:
            room = max(8, 2 * self.moving_count)
            more = <Moving *>realloc(self.moving, room * sizeof(Moving))
            if more == NULL:
                raise MemoryError
            self.moving = more
            while self.moving_count < room:
                self.moving[self.moving_count].address = 0
                self.moving_count += 1
        self.add(&self.thread_table, <uint64_t>record.thread + 1, 0, self.thread_table.live)
        return self.thread_table.live - 1

    cdef int put(self, uint64_t word, const Record *record, uint64_t thread) except -1:
        cdef uint64_t waiting = self.waiting
        self.word_file[waiting] = word
        self.thread_file[waiting] = <uint16_t>thread
        self.alignment_file[waiting] = 0
        if record != NULL:
            # The clock is read before a record's place is taken: a thread that is stopped between the two writes late.
            if not self.has_first:
                self.has_first = True
                self.first_ns = record.time_ns
            if record.time_ns > self.first_ns + self.last_ns:
                self.last_ns = record.time_ns - self.first_ns
            if word & 3 != WORD_FREE:
                self.alignment_file[waiting] = record.alignment
        self.time_file[waiting] = self.last_ns
        self.count += 1
        self.waiting = waiting + 1
        if self.waiting == FILE_WORDS:
            self.flush()
        return 0

    cdef int flush(self) except -1:
        if self.waiting:
            save(self.words, <char *>self.word_file, self.waiting * sizeof(uint64_t))
            save(self.threads, <char *>self.thread_file, self.waiting * sizeof(uint16_t))
            save(self.times, <char *>self.time_file, self.waiting * sizeof(uint64_t))
            save(self.alignments, <char *>self.alignment_file, self.waiting)
        self.waiting = 0
        return 0


cdef int save(file, char *start, Py_ssize_t size) except -1:
    if file is not None:
        file.write(PyMemoryView_FromMemory(start, size, PyBUF_READ))
    return 0
