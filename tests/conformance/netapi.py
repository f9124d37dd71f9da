"""Scenarios of the NetApi rows. See conftest.py."""

from conformance import World, needs, row

import pybuf
from pybuf import netapi

BYTES = bytes(range(256)) * 4

needs("NetServerEnum", 67, 68, 72, 82, 86, 331)
needs("NetServerGetInfo", 332)

ALL = 0xFFFFFFFF
LONGEST = 0xFFFFFFFF
NOBODY = pybuf.Caller("Nobody", groups=(), interactive=False)
SERVERS = [pybuf.Server("ONE", "first"), pybuf.Server("TWO"), pybuf.Server("THREE", "third", type=0x1001)]


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


def reads(world: World, address: int):
    """The structures of a block; None in a guest that cannot be read."""
    return None if world.door.is_guest else netapi.entries(address)


def enumerates(world: World, *, level: int = 101, length: int = LONGEST, kind: int = ALL, domain=None, resume=0,
               server=None, **network):
    """NetServerEnum of three servers."""
    world.machine.network = pybuf.Network(**{"servers": SERVERS, **network})
    return world.NetServerEnum(server, level, length, kind, domain, resume)


def frees_whole(world: World, answer):
    """Frees an answer's block, with which everything goes."""
    assert len(world.live()) == 1
    assert world.NetApiBufferFree(answer[1])[0] == 0
    assert world.live() == []
    return answer


@row(67)
def frees_what_an_enumeration_answered(world: World):
    block = enumerates(world)[1]
    answer = world.NetApiBufferFree(block)
    assert world.live() == []
    return answer


@row(68)
def frees_the_part_that_was_answered(world: World):
    status, block, *_ = enumerates(world, length=60)
    assert status == 234
    return world.NetApiBufferFree(block)


@row(72)
def pointer_into_a_block(world: World):
    _status, block, *_ = enumerates(world)
    size = world.NetApiBufferSize(block)[1]
    for inside in (1, 8, 16, 40, size // 2, size - 2):
        answer = world.NetApiBufferFree(block + inside)
        assert answer[0] == 87
    assert world.NetApiBufferFree(block)[0] == 0
    return answer


@row(82)
def reallocating_what_an_enumeration_answered(world: World):
    found = enumerates(world)
    answer = world.NetApiBufferReallocate(found[1], 10)
    assert world.NetApiBufferReallocate(found[1], 0)[0] == 87
    frees_whole(world, found)
    return answer


@row(86)
def size_of_what_an_enumeration_answered(world: World):
    block = enumerates(world)[1]
    width, wide = 40, 4 if world.door.letter == "c" else 2
    if world.door.is_guest:
        width, wide = {4: 24, 8: 40}[world.machine.memory.pointer_bytes], world.machine.memory.wchar_bytes
    return measured(world, block, 3 * width + wide * len("ONE.first.TWO..THREE.third."))


@row(90)
def finds_servers(world: World):
    answer = enumerates(world)
    assert answer[2:4] == (3, 3)
    expected = [(500, each.name, 10, 0, each.type, each.comment) for each in SERVERS]
    assert reads(world, answer[1]) in (expected, None)
    frees_whole(world, answer)
    for level, kind, names in ((100, 2, ["ONE", "TWO"]), (101, 2, ["ONE", "TWO"]), (100, 0x80000000, ["WORKGROUP"]),
                               (100, 0x40000001, ["ONE", "TWO", "THREE"])):
        some = enumerates(world, level=level, kind=kind)
        assert some[2:4] == (len(names), len(names))
        assert [each.name for each in reads(world, some[1]) or ()] in (names, [])
        frees_whole(world, some)
    return answer


@row(91)
def no_server_matches(world: World):
    assert enumerates(world, servers=[])[:4] == (0, None, 0, 0)
    answer = enumerates(world, kind=8)
    assert answer[:4] == (0, None, 0, 0)
    assert answer.written is None or answer.written["bufptr"]
    return answer


def nothing_is_found(answer):
    assert answer[1:4] == (None, 0, 0)
    return answer


@row(92)
def domain_refuses(world: World):
    return nothing_is_found(enumerates(world, domain="closed", domains=[pybuf.Domain("CLOSED", refuses=True)]))


@row(93)
def server_is_reserved(world: World):
    if not hasattr(world.door, "objects"):
        for output in ("bufptr", "entriesread", "totalentries"):
            assert world.NetServerEnum(None, 101, LONGEST, ALL, None, 0, missing=output)[0] == 87
    return nothing_is_found(enumerates(world, server="\\\\ONE"))


@row(94)
def whole_entries_only(world: World):
    every = enumerates(world)
    size = world.NetApiBufferSize(every[1])[1]
    frees_whole(world, every)
    answer = enumerates(world, length=size - 1)
    assert answer[2:4] == (2, 3)
    assert [each.name for each in reads(world, answer[1]) or ()] in (["ONE", "TWO"], [])
    assert world.NetApiBufferSize(answer[1])[1] < size
    frees_whole(world, answer)
    exact = enumerates(world, length=size)
    assert exact[0] == 0
    frees_whole(world, exact)
    return answer


@row(95)
def browser_has_no_list(world: World):
    assert enumerates(world, domain="ELSEWHERE")[0] == 6118
    return nothing_is_found(enumerates(world, browse_list=False))


@row(96)
def domain_is_a_dns_name(world: World):
    return nothing_is_found(enumerates(world, domain="corp.example.com"))


@row(97)
def remote_browser_fails(world: World):
    return nothing_is_found(enumerates(world, domain="FAR", domains=[pybuf.Domain("FAR", is_failing=True)]))


@row(98)
def server_service_is_stopped(world: World):
    world.machine.services = {"workstation"}
    return nothing_is_found(enumerates(world, browse_list=False))


@row(99)
def browser_is_not_installed(world: World):
    world.machine.services = {"workstation", "server"}
    return nothing_is_found(enumerates(world, browse_list=False))


@row(100)
def workstation_service_is_stopped(world: World):
    world.machine.services = ()
    return nothing_is_found(enumerates(world, browse_list=False))


@row(101)
def level_of_no_list_of_servers(world: World):
    assert enumerates(world, level=102)[0] == 124
    return nothing_is_found(enumerates(world, level=7, server="X"))


@row(331)
def frees_without_any_right(world: World):
    world.machine.caller = NOBODY
    return world.NetApiBufferFree(enumerates(world)[1])


@row(334)
def resume_handle_is_reserved(world: World):
    return nothing_is_found(enumerates(world, resume=1))


@row(335)
def one_server_in_any_case(world: World):
    answer = enumerates(world, length=0)
    assert answer[2:4] == (1, 3)
    assert [each.name for each in reads(world, answer[1]) or ()] in (["ONE"], [])
    return frees_whole(world, answer)


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
