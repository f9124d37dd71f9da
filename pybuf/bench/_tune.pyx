# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""What `tune` does for every event: follow the words through a pool, count what lives, choose classes.

Blocks are never touched, so the pool may have addresses only, and no memory.
"""
from array import array

from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t

from pybuf.bench.recordings._word cimport FREE, OPERATION_BITS, REALLOCATE, SIZE_SHIFT, SLOT_BITS, SLOT_SHIFT

cdef enum:
    ALIGNMENT_SHIFT = 4
    SMALL_MAX = 1 << 16
    RUN_SHIFT = 16          # what has no size class takes whole slabs
    UNITS = (SMALL_MAX >> ALIGNMENT_SHIFT) + 1

ctypedef void *(*alloc_call)(uintptr_t pool, uint64_t size) noexcept nogil
ctypedef void *(*aligned_call)(uintptr_t pool, uint64_t alignment, uint64_t size) noexcept nogil
ctypedef void *(*realloc_call)(uintptr_t pool, void *block, uint64_t size) noexcept nogil
ctypedef int (*free_call)(uintptr_t pool, void *block) noexcept nogil


def follow(functions, const uint64_t[::1] words, const uint8_t[::1] alignments, uint64_t[::1] slots,
           Py_ssize_t first, Py_ssize_t last):
    """Replay the words ``first`` to ``last`` through a pool.

    functions   addresses: (pool, alloc, free, realloc, aligned)
    alignments  log2 for each word, or None
    slots       the table of live blocks; carries from one call to the next

    Returns the index of the word that failed, or ``last``. IndexError: the words are not there.
    """
    cdef uintptr_t pool = functions[0]
    cdef alloc_call alloc = <alloc_call><uintptr_t>functions[1]
    cdef free_call give = <free_call><uintptr_t>functions[2]
    cdef realloc_call realloc = <realloc_call><uintptr_t>functions[3]
    cdef aligned_call aligned = <aligned_call><uintptr_t>functions[4]
    cdef Py_ssize_t aligned_until = 0 if alignments is None else alignments.shape[0]
    cdef Py_ssize_t index
    cdef uint64_t word, slot, size
    if not 0 <= first <= last <= words.shape[0]:
        raise IndexError(f"words {first} to {last} of {words.shape[0]}")
    with nogil:
        for index in range(first, last):
            word = words[index]
            slot = (word >> SLOT_SHIFT) & SLOT_BITS
            size = word >> SIZE_SHIFT
            if word & OPERATION_BITS == FREE:
                if slots[slot] and give(pool, <void *>slots[slot]):
                    break
                slots[slot] = 0
                continue
            if word & OPERATION_BITS == REALLOCATE:
                slots[slot] = <uint64_t>realloc(pool, <void *>slots[slot], size)
            elif index < aligned_until and alignments[index] > ALIGNMENT_SHIFT:
                slots[slot] = <uint64_t>aligned(pool, <uint64_t>1 << alignments[index], size)
            else:
                slots[slot] = <uint64_t>alloc(pool, size)
            if size and not slots[slot]:
                break
        else:
            index = last
    return index


cdef Py_ssize_t peak_of_words(const uint64_t[::1] words, uint64_t[::1] sizes, Py_ssize_t first, Py_ssize_t last):
    """How many words lead to the peak of live bytes among those from ``first`` on."""
    cdef Py_ssize_t index
    cdef Py_ssize_t found = first
    cdef uint64_t slot, size, live = 0, peak = 0
    for index in range(last):
        if index == first:
            peak = live
        slot = (words[index] >> SLOT_SHIFT) & SLOT_BITS
        size = 0 if words[index] & OPERATION_BITS == FREE else words[index] >> SIZE_SHIFT
        live += size - sizes[slot]
        sizes[slot] = size
        if index >= first and live > peak:
            peak, found = live, index + 1
    return found


def population(const uint64_t[::1] words, const uint8_t[::1] alignments, uint64_t slot_count,
               Py_ssize_t first, Py_ssize_t last):
    """What lives while the words ``first`` to ``last`` run, after those before them.

    Returns a dict of

    mean, peak      array of float: live blocks of each multiple of 16 bytes, 4097 of them, on average over the
                    events and where most bytes live; larger blocks are left out
    peak_word       how many words lead there
    live, rounded   at the peak, in bytes: what was asked for, and the least that blocks at multiples of 16, or
                    of 64 KiB above 64 KiB, can hold it in; the means of both are live_mean and rounded_mean
    alignments      for each multiple of 16, log2 of the largest alignment that was asked for with it
    """
    cdef uint64_t[::1] sizes = array("Q", bytes(8 * slot_count + 8))
    cdef uint8_t[::1] is_live = array("B", bytes(slot_count + 1))
    cdef uint64_t[::1] unit_of = array("Q", bytes(8 * slot_count + 8))
    counts_of, mean_of, peak_of = (array("d", bytes(8 * UNITS)) for _ in range(3))
    since_of = array("q", bytes(8 * UNITS))
    asked_of = array("B", bytes(UNITS))
    cdef double[::1] counts = counts_of
    cdef double[::1] mean = mean_of
    cdef double[::1] peaks = peak_of
    cdef long long[::1] since = since_of
    cdef uint8_t[::1] asked = asked_of
    cdef Py_ssize_t aligned_until = 0 if alignments is None else alignments.shape[0]
    cdef Py_ssize_t index, from_here
    cdef Py_ssize_t peak_word = first
    cdef uint64_t word, slot, size, operation, unit
    cdef uint64_t live = 0, rounded = 0, peak = 0, peak_rounded = 0
    cdef double live_sum = 0, rounded_sum = 0
    cdef unsigned shift
    if not 0 <= first <= last <= words.shape[0]:
        raise IndexError(f"words {first} to {last} of {words.shape[0]}")
    peak_word = peak_of_words(words, sizes, first, last)
    sizes[:] = 0
    for index in range(last + 1):
        if index == first:
            for unit in range(UNITS):
                since[unit] = first
        if index == peak_word:
            peak, peak_rounded = live, rounded
            peaks[:] = counts
        if index == last:
            break
        word = words[index]
        slot = (word >> SLOT_SHIFT) & SLOT_BITS
        size = word >> SIZE_SHIFT
        operation = word & OPERATION_BITS
        if is_live[slot]:
            live -= sizes[slot]
            unit = unit_of[slot]
            rounded -= unit << ALIGNMENT_SHIFT
            if unit < UNITS:
                if index >= first:
                    mean[unit] += counts[unit] * (index - since[unit])
                    since[unit] = index
                counts[unit] -= 1
            is_live[slot] = 0
        if operation != FREE:
            shift = 0
            if operation != REALLOCATE and index < aligned_until:
                shift = alignments[index]
            unit = max(<uint64_t>1, (size + 15) >> ALIGNMENT_SHIFT)
            if shift > ALIGNMENT_SHIFT and size <= SMALL_MAX:
                # Only a class that the alignment divides can hold it.
                unit = (((unit << ALIGNMENT_SHIFT) + (<uint64_t>1 << shift) - 1) >> shift << shift) >> ALIGNMENT_SHIFT
            if unit >= UNITS:
                unit = (((size + (1 << RUN_SHIFT) - 1) >> RUN_SHIFT) << RUN_SHIFT) >> ALIGNMENT_SHIFT
            else:
                if index >= first:
                    mean[unit] += counts[unit] * (index - since[unit])
                    since[unit] = index
                counts[unit] += 1
                asked[unit] = max(asked[unit], <uint8_t>shift)
            is_live[slot] = 1
            sizes[slot] = size
            unit_of[slot] = unit
            live += size
            rounded += unit << ALIGNMENT_SHIFT
        if index >= first:
            live_sum += live
            rounded_sum += rounded
    from_here = max(last - first, 1)
    for unit in range(UNITS):
        if last > first:
            mean[unit] += counts[unit] * (last - since[unit])
        mean[unit] /= from_here
    return {
        "mean": mean_of, "peak": peak_of, "peak_word": peak_word, "live": peak, "rounded": peak_rounded,
        "live_mean": live_sum / from_here, "rounded_mean": rounded_sum / from_here, "alignments": asked_of,
    }


cdef void layer(const double *sums, const double *prices, const double *before, double *best, uint32_t *cuts,
                Py_ssize_t low, Py_ssize_t high, Py_ssize_t cut_low, Py_ssize_t cut_high) noexcept nogil:
    """best[j] for low <= j < high: its last stretch begins behind a cut from cut_low to cut_high, and holds one."""
    cdef Py_ssize_t middle, cut, found
    cdef double cost, least
    while low < high:
        middle = (low + high) // 2
        found = cut_low
        least = 0
        for cut in range(cut_low, min(middle - 1, cut_high) + 1):
            cost = before[cut] + (sums[middle] - sums[cut]) * prices[middle]
            if cut == cut_low or cost < least:
                least, found = cost, cut
        best[middle] = least
        cuts[middle] = <uint32_t>found
        layer(sums, prices, before, best, cuts, low, middle, cut_low, found)
        low = middle + 1
        cut_low = found


def partitions(const double[::1] weights, const double[::1] prices, Py_ssize_t most):
    """The cheapest ways to part the numbers 0 to n-1 into 1, 2, ... ``most`` stretches, none of them empty.

    A stretch costs the sum of its ``weights``, which are not negative, times the price of its last number;
    ``prices`` never fall. Then the best place of a cut never falls when the end of the stretch moves up, and each
    number of stretches takes O(n log n).

    Returns [(cost, [last numbers of the stretches]), ...], as many as there are numbers at most. ValueError:
    weights or prices are not so.
    """
    cdef Py_ssize_t count = weights.shape[0]
    cdef Py_ssize_t number, parts, end
    if prices.shape[0] != count:
        raise ValueError(f"{count} weights and {prices.shape[0]} prices")
    for number in range(count):
        if not weights[number] >= 0 or (number and not prices[number] >= prices[number - 1]):
            raise ValueError(f"number {number}: weight {weights[number]}, price {prices[number]}; weights are not "
                             "negative and prices never fall")
    most = min(most, count)
    if most < 1:
        return []
    # Entry j of these is of the first j numbers; sums[0], prices_[0] are of none.
    cdef double[::1] sums = array("d", bytes(8 * (count + 1)))
    cdef double[::1] ends = array("d", bytes(8 * (count + 1)))
    cdef double[:, ::1] best = memoryview(bytearray(8 * (most + 1) * (count + 1))).cast("d", (most + 1, count + 1))
    cdef uint32_t[:, ::1] cuts = memoryview(bytearray(4 * (most + 1) * (count + 1))).cast("I", (most + 1, count + 1))
    for number in range(count):
        sums[number + 1] = sums[number] + weights[number]
        ends[number + 1] = prices[number]
    for number in range(1, count + 1):
        best[1, number] = sums[number] * ends[number]
    with nogil:
        for parts in range(2, most + 1):
            layer(&sums[0], &ends[0], &best[parts - 1, 0], &best[parts, 0], &cuts[parts, 0],
                  parts, count + 1, parts - 1, count - 1)
    found = []
    for parts in range(1, most + 1):
        lasts = []
        end = count
        for number in range(parts, 0, -1):
            lasts.append(end - 1)
            end = cuts[number, end]
        found.append((best[parts, count], lasts[::-1]))
    return found
