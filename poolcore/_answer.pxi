# ---- what questions answer ---------------------------------------------------------------------

cdef str state_text(uint32_t state):
    """A record's state as callers see it: that a Buffer holds a block is no state of the block."""
    state &= RECORD_STATE
    if state == RECORD_LIVE or state == RECORD_HELD:
        return "live"
    if state == RECORD_EXPORTED:
        return "exported"
    if state == RECORD_DEFERRED:
        return "deferred"
    if state == RECORD_QUARANTINED:
        return "quarantined"
    return "free"


@cython.final
cdef class Block:
    """What `Pool.block_at` and `Pool.live` say about a block, at the moment of the question.

    Compares and hashes by value.
    """

    cdef readonly uint64_t address
    """Address of its first byte."""
    cdef readonly uint64_t size
    """Bytes that were asked for; 0 when free."""
    cdef readonly uint64_t capacity
    """Bytes that it occupies."""
    cdef readonly object tag
    """Its tag, a str, or None."""
    cdef readonly str state
    """"live", "exported" (views of it are alive), "deferred" (freed, its views are still alive),
    "quarantined" (freed, waiting) or "free"."""
    cdef readonly Pool pool
    """The Pool it is in."""

    def buffer(self):
        """A Buffer for this block, when it is live and has none: allocated by address, or kept by on_drop.

        Returns
        -------
        Buffer

        Raises
        ------
        ValueError
            It is not live, or a Buffer holds it.
        """
        if self.pool is None:
            raise ValueError("this Block describes nothing: Blocks come from Pool.block_at and Pool.live")
        open_or_raise(self.pool)
        buffer = buffer_adopt(self.pool, self.address)
        if buffer is None:
            raise ValueError(f"{self.pool.explain(self.address)}: only a live block without a Buffer can be given one")
        return buffer

    cdef tuple key(self):
        return (self.address, self.size, self.capacity, self.tag, self.state)

    def __eq__(self, other):
        if not isinstance(other, Block):
            return NotImplemented
        return self.pool is (<Block>other).pool and self.key() == (<Block>other).key()

    def __hash__(self):
        return hash(self.key())

    def __repr__(self):
        return (f"Block(address={self.address:#x}, size={self.size}, capacity={self.capacity}, "
                f"tag={self.tag!r}, state={self.state!r}, pool={self.pool!r})")


cdef Block block_make(Pool pool, block_t *found):
    cdef Block block = Block.__new__(Block)
    block.address = found.address
    block.size = found.size
    block.capacity = found.capacity
    block.tag = tag_text(found.tag)
    block.state = state_text(found.state)
    block.pool = pool
    return block


@cython.final
cdef class Event:
    """One entry of a pool's ring of events."""

    cdef readonly uint64_t sequence
    """Its number, counted over the pool's life."""
    cdef readonly uint64_t time_ns
    """Nanoseconds of the monotonic clock."""
    cdef readonly str kind
    """"alloc", "free", "refused" (a request), "rejected" (a free) or "corrupt"."""
    cdef readonly uint64_t address
    """The block, or what was given to free; 0 when refused."""
    cdef readonly uint64_t size
    """Bytes asked for."""
    cdef readonly uint32_t thread
    """The OS' number of the thread."""
    cdef readonly object tag
    """The block's tag, a str, or None."""
    cdef readonly object verdict
    """What free found, a Verdict; None when it was no free."""

    def __repr__(self):
        return (f"Event(sequence={self.sequence}, time_ns={self.time_ns}, kind={self.kind!r}, "
                f"address={self.address:#x}, size={self.size}, thread={self.thread}, tag={self.tag!r}, "
                f"verdict={self.verdict!r})")


cdef Event event_make(event_t *found):
    cdef Event event = Event.__new__(Event)
    event.sequence = found.sequence
    event.time_ns = found.time_ns
    if found.kind == EVENT_ALLOC:
        event.kind = "alloc"
    elif found.kind == EVENT_FREE:
        event.kind = "free"
    elif found.kind == EVENT_REFUSED:
        event.kind = "refused"
    elif found.kind == EVENT_REJECTED:
        event.kind = "rejected"
    else:
        event.kind = "corrupt"
    event.address = found.address
    event.size = found.size
    event.thread = found.thread
    event.tag = tag_text(found.tag)
    if found.kind == EVENT_FREE or found.kind == EVENT_REJECTED:
        event.verdict = verdict_of(found.verdict)
    return event


@cython.final
cdef class CFunctions:
    """A pool for C: addresses of its struct and of functions that take it first. Keeps the pool alive.

    They may be called from any thread, with the GIL or without; after the pool is closed they answer
    NULL and CLOSED::

        void *alloc(void *pool, size_t size)
        int free(void *pool, void *block)                          the verdict
        void *realloc(void *pool, void *block, size_t size)
        void *calloc(void *pool, size_t count, size_t size)
        void *aligned(void *pool, size_t alignment, size_t size)

    A pool of one size has an alloc and a free of its own, which reuse the block freed last: half the
    instructions of the others. They may be mixed with every other way to the same pool.
    """

    cdef Pool owner
    cdef readonly uint64_t pool
    """What each function takes first."""
    cdef readonly uint64_t alloc
    """``void *alloc(void *pool, size_t size)``; NULL when refused."""
    cdef readonly uint64_t free
    """``int free(void *pool, void *block)``; the verdict."""
    cdef readonly uint64_t realloc
    """``void *realloc(void *pool, void *block, size_t size)``; NULL leaves the block as it was."""
    cdef readonly uint64_t calloc
    """``void *calloc(void *pool, size_t count, size_t size)``; filled with zeros."""
    cdef readonly uint64_t aligned
    """``void *aligned(void *pool, size_t alignment, size_t size)``."""

    def __repr__(self):
        return f"<C functions of {label(self.owner)}>"


cdef class _Live:
    """Iterator over live blocks, by address; blocks that come or go meanwhile may or may not be seen."""

    cdef Pool pool
    cdef uint64_t address

    def __iter__(self):
        return self

    def __next__(self):
        cdef block_t block
        cdef int found
        cdef Pool pool = self.pool      # another thread may end the same iterator during the call
        cdef uint64_t address = self.address
        if pool is None or pool.is_closed:
            raise StopIteration
        if pool.is_locked:
            count_add(&pool.calls, 1)
            with nogil:
                found = pool_next_live(pool.engine, address, &block)
            call_end(pool)
        else:
            found = pool_next_live(pool.engine, address, &block)
        if not found:
            self.pool = None
            raise StopIteration
        self.address = block.address + 1
        return block_make(pool, &block)
