"""Windows' routines through their doors, beside floors and peers. C loops are timed per call, see OPERATIONS."""

import ctypes

import pytest

import pybuf
from pybuf import windll
from pybuf.bench.ratios import _loops, routine_jobs
from pybuf.bench.ratios.callees import callee

SIZE = 1500
OPERATIONS = 10_000  # pairs in one timed call
SERVERS = 10_000


@pytest.fixture
def machine():
    made = pybuf.Machine(clock="manual")
    made.network = routine_jobs.network_of(SERVERS)
    with made:
        yield made
    assert made.check() is None
    assert made.live() == []
    made.close()


@pytest.mark.parametrize("name", ["no-op", "default machine", "entered machine"])
def test_ras_get_and_free_buffer(benchmark, request, name):
    if name == "entered machine":
        request.getfixturevalue("machine")
    neighbours = [pybuf.RasGetBuffer(SIZE)[1] for _ in range(64)]
    get, free = pybuf.RasGetBuffer, pybuf.RasFreeBuffer
    if name == "no-op":
        _loops.no_op_ready(pybuf.RasStatus.ERROR_SUCCESS, neighbours[0], SIZE)
        get, free = _loops.no_op_get_buffer, _loops.no_op_free_buffer

    def pair():
        status, buffer, size = get(SIZE)
        if status:
            raise RuntimeError(status)
        status = free(buffer)
        if status:
            raise RuntimeError(status)
        return size

    assert benchmark(pair) == SIZE
    assert [pybuf.RasFreeBuffer(buffer) for buffer in neighbours] == [0] * 64


@pytest.mark.parametrize("name", ["poolcore", "poolcore aligned", "RAS", "RAS ms", "NetApi", "NetApi ms", "video"])
def test_pair_in_c(benchmark, name):
    if name == "poolcore":
        pairs = _loops.Pair(callee(name, SIZE), SIZE)
        benchmark(pairs.run, OPERATIONS)
        pairs.close()
    else:
        timed = routine_jobs.door_pair(name, SIZE, OPERATIONS)
        benchmark(timed.run)
        timed.close()


@pytest.mark.parametrize("name", ["malloc", "windll"])
def test_ctypes_allocate_and_free(benchmark, name):
    timed = routine_jobs.windll_pair(name, SIZE, OPERATIONS)
    benchmark(timed.run)
    timed.close()


def test_server_enum_and_free(benchmark, machine):
    def enumerate_and_free():
        status, block, read, _, _ = pybuf.NetServerEnum(None, 101, -1, 0xFFFFFFFF, None, 0)
        return status, pybuf.NetApiBufferFree(block), read

    assert benchmark(enumerate_and_free) == (0, 0, SERVERS)


def test_array_of_ctypes(benchmark):
    rows = routine_jobs.rows_of(SERVERS)
    info = windll.SERVER_INFO_101
    made = benchmark(lambda: (info * SERVERS)(*[info(*row) for row in rows]))
    assert [entry.sv101_name for entry in made] == [row[1] for row in rows]


def test_names_from_entries(benchmark, machine):
    _, block, *_ = pybuf.NetServerEnum(None, 101, -1, 0xFFFFFFFF, None, 0)
    names = benchmark(lambda: [entry.name for entry in block.entries])
    assert names == [row[1] for row in routine_jobs.rows_of(SERVERS)]
    assert pybuf.NetApiBufferFree(block) == 0


def test_names_from_ctypes(benchmark, machine):
    block, read, total = ctypes.c_void_p(), ctypes.c_uint32(), ctypes.c_uint32()
    windll.netapi32.NetServerEnum(None, 101, ctypes.byref(block), -1, ctypes.byref(read), ctypes.byref(total),
                                  0xFFFFFFFF, None, None)
    array = (windll.SERVER_INFO_101 * read.value).from_address(block.value)
    names = benchmark(lambda: [entry.sv101_name for entry in array])
    assert names == [row[1] for row in routine_jobs.rows_of(SERVERS)]
    assert windll.netapi32.NetApiBufferFree(block) == 0


@pytest.mark.parametrize("codec", ["silent", "sink"])
def test_ten_seconds_of_a_stream(benchmark, codec):
    timed = routine_jobs.stream("sink" if codec == "sink" else "pybuf", 10)
    benchmark(timed.run)
    timed.close()
