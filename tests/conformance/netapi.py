"""Scenarios of the NetApi rows. See conftest.py."""

from conformance import World, needs, row

import pybuf

BYTES = bytes(range(256)) * 4

needs("NetServerEnum", 67, 68, 72, 82, 86, 331, 332)


@row(54, 59, live=1)
def allocates(world: World):
    answer = world.routine(1024)
    assert [block.size for block in world.live()] == [1024]
    assert world.live()[0].address == answer[1]
    return answer


@row(55, 60)
def nothing_is_a_block_of_its_own(world: World):
    answer, other = world.routine(0), world.routine(0)
    assert None not in (answer[1], other[1])
    assert answer[1] != other[1]
    assert [world.NetApiBufferFree(each[1])[0] for each in (answer, other)] == [0, 0]
    return answer


@row(56, 61)
def null_for_no_bytes(world: World):
    return leaves_the_last_error(world, 0)


@row(57, 62)
def null_for_some_bytes(world: World):
    return leaves_the_last_error(world, 1024)


def leaves_the_last_error(world: World, size: int):
    world.door.set_last_error(0xDEADBEEF)
    answer = world.routine(size, missing="Buffer")
    assert world.door.last_error() == 0xDEADBEEF
    return answer


@row(58, 63)
def heap_is_exhausted(world: World):
    kept = world.got("NetApiBufferAllocate", 10)
    answer = world.routine(0xFFFFFFFF)
    assert answer[1] is None
    world.machine.refuse("netapi", nth=2)
    assert world.NetApiBufferFree(world.got("NetApiBufferAllocate", 10))[0] == 0
    assert world.routine(10)[0] == 8
    assert world.NetApiBufferFree(kept)[0] == 0
    return answer


@row(64)
def frees_what_allocate_made(world: World):
    return world.NetApiBufferFree(world.got("NetApiBufferAllocate", 1024))


@row(65)
def frees_what_reallocate_made(world: World):
    return world.NetApiBufferFree(world.got("NetApiBufferReallocate", None, 1024))


@row(66)
def frees_a_block_without_bytes(world: World):
    return world.NetApiBufferFree(world.got("NetApiBufferAllocate", 0))


@row(69, live=1)
def null_is_nothing(world: World):
    world.got("NetApiBufferAllocate", 16)
    return world.NetApiBufferFree(None)


@row(70)
def frees_once(world: World):
    block = world.got("NetApiBufferAllocate", 1024)
    assert world.NetApiBufferFree(block)[0] == 0
    return world.NetApiBufferFree(block)


@row(71)
def foreign_pointer(world: World):
    assert world.NetApiBufferFree(0xFFFFFFFFFFFFFFF0)[0] == 87
    return world.NetApiBufferFree(0x1000)


@row(73)
def grows(world: World):
    block = world.got("NetApiBufferAllocate", 1024)
    world.fill(block, BYTES)
    answer = world.NetApiBufferReallocate(block, 1500)
    assert [each.size for each in world.live()] == [1500]
    assert world.bytes_at(answer[1], 1024) in (BYTES, None)
    assert world.NetApiBufferFree(answer[1])[0] == 0
    return answer


@row(74)
def reallocating_null_allocates(world: World):
    answer = world.NetApiBufferReallocate(None, 1500)
    assert [each.size for each in world.live()] == [1500]
    assert world.NetApiBufferFree(answer[1])[0] == 0
    return answer


@row(75)
def reallocating_to_nothing_frees(world: World):
    answer = world.NetApiBufferReallocate(world.got("NetApiBufferAllocate", 1024), 0)
    assert answer[1] is None
    assert answer.written in (None, {"NewBuffer": True})
    return answer


@row(76)
def variable_may_be_old_and_new(world: World):
    block = world.got("NetApiBufferAllocate", 1024)
    world.fill(block, BYTES)
    answer = world.NetApiBufferReallocate(block, 100_000, alias="NewBuffer")
    assert world.bytes_at(answer[1], 1024) in (BYTES, None)
    assert world.NetApiBufferFree(answer[1])[0] == 0
    return answer


@row(77)
def shrinks(world: World):
    block = world.got("NetApiBufferAllocate", 1024)
    world.fill(block, BYTES)
    answer = world.NetApiBufferReallocate(block, 100)
    assert [each.size for each in world.live()] == [100]
    assert world.bytes_at(answer[1], 100) in (BYTES[:100], None)
    assert world.NetApiBufferFree(answer[1])[0] == 0
    return answer


@row(78)
def reallocating_null_to_nothing(world: World):
    answer = world.NetApiBufferReallocate(None, 0)
    assert answer[1] is None
    assert answer.written in (None, {"NewBuffer": True})
    return answer


@row(79)
def cannot_grow(world: World):
    block = world.got("NetApiBufferAllocate", 1024)
    world.fill(block, BYTES)
    world.machine.refuse("netapi", nth=1)
    answer = world.NetApiBufferReallocate(block, 1 << 20)
    assert answer[1] is None
    assert answer.written in (None, {"NewBuffer": False})
    assert [each.address for each in world.live()] == [block]
    assert world.bytes_at(block, 1024) in (BYTES, None)
    assert world.NetApiBufferFree(block)[0] == 0
    return answer


@row(80, live=1)
def reallocating_into_null(world: World):
    block = world.got("NetApiBufferAllocate", 1024)
    answer = world.NetApiBufferReallocate(block, 0, missing="NewBuffer")
    assert [each.size for each in world.live()] == [1024]
    return answer


@row(81)
def reallocating_what_is_no_block(world: World):
    block = world.got("NetApiBufferAllocate", 1024)
    assert world.NetApiBufferReallocate(block + 16, 10)[0] == 87
    assert world.NetApiBufferFree(block)[0] == 0
    assert world.NetApiBufferReallocate(block, 0)[0] == 87
    return world.NetApiBufferReallocate(block, 10)


@row(83)
def size_of_an_allocated_block(world: World):
    return measured(world, world.got("NetApiBufferAllocate", 1024), 1024)


@row(84)
def size_of_a_reallocated_block(world: World):
    block = world.got("NetApiBufferReallocate", world.got("NetApiBufferAllocate", 1024), 1500)
    return measured(world, block, 1500)


@row(85)
def size_of_a_block_without_bytes(world: World):
    return measured(world, world.got("NetApiBufferAllocate", 0), 0)


def measured(world: World, block: int, size: int):
    answer = world.NetApiBufferSize(block)
    assert answer[1] == size
    assert world.NetApiBufferFree(block)[0] == 0
    return answer


@row(87)
def size_of_null(world: World):
    answer = world.NetApiBufferSize(None)
    assert answer[1] is None
    return answer


@row(88)
def size_of_what_is_no_block(world: World):
    block = world.got("NetApiBufferAllocate", 1024)
    assert world.NetApiBufferSize(block + 16)[0] == 87
    assert world.NetApiBufferFree(block)[0] == 0
    return world.NetApiBufferSize(block)


@row(89, live=1)
def size_into_null(world: World):
    return world.NetApiBufferSize(world.got("NetApiBufferAllocate", 1024), missing="ByteCount")


@row(333)
def block_of_another_machine(world: World):
    other = pybuf.Machine()
    with other:
        _, block = pybuf.NetApiBufferAllocate(1024)
    answer = world.NetApiBufferFree(block), world.NetApiBufferFree(block.address)
    assert [each.size for each in other.live()] == [1024]
    other.close()
    assert answer[0] == answer[1]
    return answer[0]
