"""Scenarios of the RAS rows. See conftest.py."""

from conformance import World, needs, row

import pybuf

needs("RasReceiveBuffer", 18, 19, 330)
needs("RasSendBuffer", 17, 321, 322)


@row(1)
def grants_what_is_asked_for(world: World):
    for size in (1, 100, 1499):
        answer = world.RasGetBuffer(size)
        assert answer[1] is not None
        assert answer[2] == size
        assert [block.size for block in world.live()] == [size]
        assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(2)
def grants_the_largest(world: World):
    answer = world.RasGetBuffer(1500)
    assert answer[2] == 1500
    world.fill(answer[1], bytes(1500))
    assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(3)
def grants_a_single_byte(world: World):
    answer = world.RasGetBuffer(1)
    assert answer[2] == 1
    assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(4)
def cuts_what_is_too_large(world: World):
    for size in (0xFFFFFFFF, 1501):
        answer = world.RasGetBuffer(size)
        assert answer[2] == 1500
        assert [block.size for block in world.live()] == [1500]
        assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(5)
def nothing_is_a_buffer_of_its_own(world: World):
    answer, other = world.RasGetBuffer(0), world.RasGetBuffer(0)
    assert (answer[2], other[2]) == (0, 0)
    assert None not in (answer[1], other[1])
    assert answer[1] != other[1]
    assert [world.RasFreeBuffer(each[1])[0] for each in (answer, other)] == [0, 0]
    return answer


@row(6, ras_buffers=2)
def count_is_used_up(world: World):
    blocks = [world.got("RasGetBuffer", 10) for _ in range(2)]
    answer = world.RasGetBuffer(10)
    assert answer[1:] == (None, 10)
    assert answer.written in (None, {"ppBuffer": True, "pdwSize": True})
    assert [world.RasFreeBuffer(block)[0] for block in blocks] == [0, 0]
    world.machine.refuse("ras", nth=1)
    assert world.RasGetBuffer(10)[0] == 614
    return answer


@row(7)
def refuses_what_is_too_large(world: World):
    answer = world.RasGetBuffer(1501)
    assert answer[1:] == (None, 1501)
    return answer


@row(8, ras_buffers=1)
def serves_again_after_a_free(world: World):
    block = world.got("RasGetBuffer", 10)
    assert world.RasGetBuffer(10)[0] == 614
    assert world.RasFreeBuffer(block)[0] == 0
    answer = world.RasGetBuffer(10)
    assert world.RasFreeBuffer(answer[1])[0] == 0
    return answer


@row(9)
def null_for_the_buffer(world: World):
    answer = world.RasGetBuffer(1500, missing="ppBuffer")
    assert answer[1] == 1500
    return answer


@row(10)
def null_for_the_size(world: World):
    return world.RasGetBuffer(1500, missing="pdwSize")


@row(326, ras_bytes=3000)
def bytes_are_used_up(world: World):
    blocks = [world.got("RasGetBuffer", 1500) for _ in range(2)]
    answer = world.RasGetBuffer(1)
    assert answer[1] is None
    assert [world.RasFreeBuffer(block)[0] for block in blocks] == [0, 0]
    return answer


@row(11)
def frees(world: World):
    return world.RasFreeBuffer(world.got("RasGetBuffer", 1500))


@row(12)
def pointer_from_nowhere(world: World):
    assert world.RasFreeBuffer(0xFFFFFFFFFFFFFFF0)[0] == 610
    return world.RasFreeBuffer(0x1000)


@row(13)
def frees_once(world: World):
    block = world.got("RasGetBuffer", 1500)
    assert world.RasFreeBuffer(block)[0] == 0
    return world.RasFreeBuffer(block)


@row(14, live=1)
def null_is_no_buffer(world: World):
    world.got("RasGetBuffer", 1500)
    return world.RasFreeBuffer(None)


@row(15, live=1)
def interior_pointer(world: World):
    block = world.got("RasGetBuffer", 1500)
    assert world.RasFreeBuffer(block + 16)[0] == 610
    return world.RasFreeBuffer(block + 1)


@row(16)
def pointer_of_another_family(world: World):
    block = world.got("NetApiBufferAllocate", 1500)
    answer = world.RasFreeBuffer(block)
    assert world.NetApiBufferFree(block)[0] == 0
    return answer


@row(320, live=1)
def stale_buffer(world: World):
    _, stale, _ = pybuf.RasGetBuffer(1500)
    assert pybuf.RasFreeBuffer(stale) == 0
    old = world.got("RasGetBuffer", 1500)
    assert [block.address for block in world.live()] == [old]
    return (pybuf.RasFreeBuffer(stale),)
