"""Arguments that are not what they should be: each error says what was given and what would do."""

import mmap

import pytest

from poolcore import (
    AddressSpace,
    Events,
    Faults,
    Fill,
    Guard,
    LowMemory,
    Pages,
    Pool,
    PoolExhausted,
    Quarantine,
)


@pytest.fixture
def pool():
    with Pool() as made:
        yield made
        assert made.check() is None


REQUESTS = {
    "get": lambda pool, *args, **kwargs: pool.get(*args, **kwargs),
    "try_get": lambda pool, *args, **kwargs: pool.try_get(*args, **kwargs),
    "alloc": lambda pool, *args, **kwargs: pool.alloc(*args, **kwargs),
    "try_alloc": lambda pool, *args, **kwargs: pool.try_alloc(*args, **kwargs),
}


@pytest.fixture(params=REQUESTS)
def request_of(request):
    return REQUESTS[request.param]


@pytest.mark.parametrize("size", [-1, -(1 << 40), -(1 << 80)])
def test_negative_size(pool, request_of, size):
    with pytest.raises(ValueError, match="0 or more"):
        request_of(pool, size)
    with pytest.raises(ValueError, match="0 or more"):
        pool.get_many(size, 1)
    with pytest.raises(ValueError, match="0 or more"):
        pool.realloc(pool.alloc(1), size)


@pytest.mark.parametrize("size", [None, "10", 1.0, b"1", [1]])
def test_size_that_is_no_int(pool, request_of, size):
    with pytest.raises(TypeError, match="an int, not"):
        request_of(pool, size)
    with pytest.raises(TypeError, match="an int, not"):
        pool.alloc_many(size, 1)


@pytest.mark.parametrize("size", [1 << 46, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 200])
def test_size_beyond_the_address_space(pool, size):
    kept = pool.alloc(5)
    for call in (
        pool.get,
        pool.alloc,
        lambda size: pool.get_many(size, 2),
        lambda size: pool.alloc_many(size, 2),
        lambda size: pool.realloc(kept, size),
    ):
        with pytest.raises(PoolExhausted, match="largest block it could give is"):
            call(size)
    assert pool.try_get(size) is None
    assert pool.try_alloc(size) == 0
    pool.free(kept)


@pytest.mark.parametrize("count", [1 << 40, 1 << 63, 1 << 100])
def test_count_beyond_the_address_space(pool, count):
    for call in (pool.get_many, pool.alloc_many):
        with pytest.raises(PoolExhausted) as caught:
            call(1, count)
        assert caught.value.requested == count


def test_negative_count(pool):
    for call in (pool.get_many, pool.alloc_many):
        with pytest.raises(ValueError, match="count is -1"):
            call(1, -1)
        with pytest.raises(TypeError, match="count is"):
            call(1, "2")


@pytest.mark.parametrize("align", [0, -1, 3, 24, 1 << 70])
def test_align_that_is_no_power_of_two(pool, request_of, align):
    with pytest.raises(ValueError, match="power of two"):
        request_of(pool, 10, align=align)


def test_align_beyond_the_arena(pool, request_of):
    with pytest.raises(ValueError, match="half its address range"):
        request_of(pool, 10, align=1 << 62)


def test_align_that_is_no_int(pool, request_of):
    with pytest.raises(TypeError, match="power of two"):
        request_of(pool, 10, align="16")


@pytest.mark.parametrize("tag", ["", "12345", "\0abc", "\u20ac", b"12345"])
def test_tag_that_is_not_one_to_four_characters(pool, request_of, tag):
    with pytest.raises(ValueError, match="one to four characters"):
        request_of(pool, 10, tag=tag)


def test_tag_of_another_type(pool, request_of):
    with pytest.raises(TypeError, match="tag is a str"):
        request_of(pool, 10, tag=7)


def test_unknown_keyword(pool, request_of):
    with pytest.raises(TypeError):
        request_of(pool, 10, alignment=16)


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"sizes": 0}, ValueError, "from 1 to 65536"),
        ({"sizes": 65537}, ValueError, "from 1 to 65536"),
        ({"sizes": []}, ValueError, "0 size classes"),
        ({"sizes": range(16, 16 * 98, 16)}, ValueError, "97 size classes"),
        ({"sizes": "1500"}, TypeError, "sequence of ints"),
        ({"sizes": [1.5]}, TypeError, "not an int"),
        ({"sizes": 1.5}, TypeError, "sequence of ints"),
        ({"limit_bytes": -1}, ValueError, "limit_bytes is -1"),
        ({"limit_blocks": "2"}, TypeError, "limit_blocks is an int"),
        ({"on_exported": "wait"}, ValueError, "'refuse' or 'defer'"),
        ({"on_drop": None}, ValueError, "'return', 'keep' or 'warn'"),
        ({"name": 7}, TypeError, "name is a str"),
        ({"policies": Guard()}, TypeError, r"policies=\[Guard\(\)\]"),
        ({"policies": [Guard]}, TypeError, "is none of Guard"),
        ({"policies": ["guard"]}, TypeError, "is none of Guard"),
        ({"policies": [Guard(), Guard(every=2)]}, ValueError, "Guard is there twice"),
        ({"policies": 5}, TypeError, "sequence of policies"),
        ({"memory": bytearray(1 << 20), "policies": [Guard()]}, ValueError, "Fill finds overruns"),
        ({"memory": AddressSpace(4096, 1 << 20), "policies": [Guard()]}, ValueError, "needs memory"),
        ({"memory": AddressSpace(4096, 1 << 20), "policies": [Fill()]}, ValueError, "needs memory"),
        ({"memory": 4096}, TypeError, "writable buffer"),
        ({"memory": "text"}, TypeError, "writable buffer"),
        ({"memory": b"x" * 65536}, ValueError, "read-only"),
        ({"memory": memoryview(bytearray(65536))[::2]}, ValueError, "gaps"),
        ({"memory": bytearray()}, ValueError, "empty"),
        ({"memory": bytearray(100)}, ValueError, "4096"),
        ({"memory": mmap.mmap(-1, 65536, access=mmap.ACCESS_READ)}, ValueError, "read-only"),
    ],
)
def test_pool_argument(given, kind, text):
    with pytest.raises(kind, match=text):
        Pool(**given)


def test_positional_arguments_of_pool():
    with pytest.raises(TypeError):
        Pool(1500)


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: AddressSpace(0, 1 << 20), ValueError, "page zero"),
        (lambda: AddressSpace(4095, 1 << 20), ValueError, "page zero"),
        (lambda: AddressSpace(-4096, 1 << 20), ValueError, "from 0"),
        (lambda: AddressSpace(4096, 0), ValueError, "from 1"),
        (lambda: AddressSpace(4096, -1), ValueError, "from 1"),
        (lambda: AddressSpace((1 << 64) - 4096, 8192), ValueError, "beyond 2"),
        (lambda: AddressSpace(1 << 64, 1), ValueError, "from 0"),
        (lambda: AddressSpace(4096, (1 << 47) + 1), ValueError, "from 1"),
        (lambda: AddressSpace("4096", 1), TypeError, "base is an int"),
        (lambda: AddressSpace(4096, 1 << 20, on_map=5), TypeError, "on_map is a function"),
        (lambda: Pages(reserve=0), ValueError, "reserve"),
        (lambda: Pages(reserve="1"), TypeError, "reserve"),
        (lambda: Guard(every=0), ValueError, "every"),
        (lambda: Quarantine(), ValueError, "blocks= or bytes="),
        (lambda: Quarantine(blocks=0), ValueError, "blocks"),
        (lambda: Fill(alloc=256), ValueError, "from 0 to 255"),
        (lambda: Events(capacity=0), ValueError, "capacity"),
        (lambda: Faults(), ValueError, "one of"),
        (lambda: Faults(nth=1, rate=0.5), ValueError, "one of"),
        (lambda: Faults(rate=2), ValueError, "from 0 to 1"),
        (lambda: Faults(rate="x"), TypeError, "rate is a number"),
        (lambda: Faults(window=5), TypeError, "window is a pair"),
        (lambda: Faults(window=(5, 2)), ValueError, "window"),
        (lambda: LowMemory(None), TypeError, "callback is a function"),
    ],
)
def test_setting_argument(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


def test_an_address_space_too_small_for_a_slab():
    with pytest.raises(ValueError, match="4096"):
        Pool(memory=AddressSpace(4097, 4096))


def test_bytes_outside_a_byte(pool):
    buffer = pool.get(10)
    for value in (-1, 256, 1 << 80):
        with pytest.raises(ValueError):  # noqa: PT011
            buffer[0] = value
    for value in ("a", None, b"a", 1.5):
        with pytest.raises(TypeError):
            buffer[0] = value
    for key in ("a", None, 1.5, (0, 1)):
        with pytest.raises(TypeError):
            buffer[key]
    with pytest.raises(ValueError):  # noqa: PT011
        buffer[0:3] = b"toolong"
    with pytest.raises(TypeError):
        del buffer[0]


LONG = 1 << 20000       # str() refuses it


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda pool: pool.get(LONG), PoolExhausted),
        (lambda pool: pool.get(-LONG), ValueError),
        (lambda pool: pool.get_many(1, LONG), PoolExhausted),
        (lambda pool: pool.get(1, align=LONG + 1), ValueError),
        (lambda pool: pool.free(LONG), OverflowError),
        (lambda pool: Pool(limit_bytes=-LONG), ValueError),
    ],
)
def test_a_number_too_long_to_print(pool, call, kind):
    with pytest.raises(kind, match=r"2\*\*20000 or more"):
        call(pool)


def test_a_size_that_is_only_an_index(pool):
    class Index:
        def __init__(self, number):
            self.number = number

        def __index__(self):
            return self.number

    with pytest.raises(PoolExhausted) as caught:
        pool.get_many(Index(1 << 60), Index(3))
    assert caught.value.requested == 3 << 60


def test_free_many_of_no_sequence_says_what_it_takes(pool):
    with pytest.raises(TypeError, match="free_many takes several"):
        pool.free_many(5)


def test_a_policy_made_from_another_acts_as_that_one():
    class Tagged(Quarantine):
        pass

    pool = Pool(policies=[Tagged(blocks=1)])
    pool.free(pool.alloc(10))
    assert pool.stats().quarantined_blocks == 1
    with pytest.raises(ValueError, match="twice"):
        Pool(policies=[Tagged(blocks=1), Quarantine(blocks=2)])


def test_a_policy_changed_behind_its_back_is_refused():
    events = Events()
    object.__setattr__(events, "capacity", ((1 << 60) + 2) // 3)
    with pytest.raises(MemoryError, match="2\\^24 events"):
        Pool(policies=[events])


@pytest.mark.parametrize("base", [1 << 20, (1 << 64) - (1 << 47)])
def test_an_address_space_as_large_and_as_high_as_there_can_be(base):
    pool = Pool(memory=AddressSpace(base, 1 << 47))
    assert pool.alloc(64) == base
    assert pool.check() is None


@pytest.mark.parametrize("ask", [Pool.get_many, Pool.alloc_many])
def test_more_than_the_whole_range_is_refused_before_any_is_taken(ask):
    pool = Pool(memory=Pages(reserve=1 << 30))
    with pytest.raises(PoolExhausted):
        ask(pool, 1 << 20, 1025)
    assert pool.stats().committed_bytes == 0
