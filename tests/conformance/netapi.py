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


# ---- other producers: a computer, and one far away ----

STAFF = [pybuf.User("ann", "Ann A.", "first"), pybuf.User("bob", id=77), pybuf.User("PC1$", flags=0x1001)]
HERE = {
    "name": "HERE", "domain": "CORP", "joined": "domain", "users": STAFF,
    "groups": [pybuf.Group("Writers", "who write", members=["ann"]), pybuf.Group("Readers"), pybuf.Group("Others")],
    "local_groups": [pybuf.LocalGroup("Admins", "who may", ["ann", "bob"]), pybuf.LocalGroup("Print", "", ["Writers"]),
                     pybuf.LocalGroup("Empty")],
    "shares": [pybuf.Share("DATA", "C:\\data", "all of it"), pybuf.Share("IPC$"),
               pybuf.Share("X", security_descriptor=b"12345")],
    "transports": [pybuf.Transport("T1"), pybuf.Transport("T2", wan=True), pybuf.Transport("T3")],
    "domains": [pybuf.Domain("CORP", dns_name="corp.example", controller="DC1"), pybuf.Domain("BARE")],
    "servers": [pybuf.Server("FAR", "far away", users=[pybuf.User("zoe")])],
}
def here(world: World, **more) -> World:
    world.machine.network = pybuf.Network(**{**HERE, **more})
    return world


def listed(world: World, answer, count: int, *names: str):
    """An answer of so many structures, with these first members; its block is freed."""
    assert answer[0] in (0, 234)
    assert answer[2] == count
    found = reads(world, answer[1])
    if found is not None:
        assert tuple(entry[0] for entry in found)[:len(names)] == names
    return frees_whole(world, answer)


def one(world: World, answer, **members):
    """An answer of one structure, with these members; its block is freed."""
    assert answer[0] == 0
    for entry in reads(world, answer[1]) or ():
        assert {name: getattr(entry, name) for name in members} == members
    return frees_whole(world, answer)


def nothing_at_all(world: World, answer):
    assert answer[1] is None
    assert world.live() == []
    return answer


def size_of_all(world: World, answer) -> int:
    size = world.NetApiBufferSize(answer[1])[1]
    frees_whole(world, answer)
    return size


@row(332)
def frees_what_a_remote_server_answered(world: World):
    block = here(world).NetServerGetInfo("\\\\FAR", 101)[1]
    assert [each.comment for each in reads(world, block) or ()] in (["far away"], [])
    return world.NetApiBufferFree(block)


@row(102, 107)
def levels_100_to_102(world: World):
    name = "name" if world.row.function == "NetServerGetInfo" else "computername"
    for level in (100, 101):
        one(world, here(world).routine(None, level), **{name: "HERE"}, platform_id=500)
    return one(world, world.routine("\\far", 102), **{name: "FAR"})


@row(103, 108)
def level_102_needs_a_group(world: World):
    here(world).machine.caller = pybuf.Caller("ann", groups=("Users",), interactive=True)
    one(world, world.routine(None, 101))
    answer = nothing_at_all(world, world.routine(None, 102))
    world.machine.caller = NOBODY
    assert world.routine(None, 100)[0] == 5
    return answer


@row(104, 109, 111)
def other_level(world: World):
    return nothing_at_all(world, here(world).routine("no such", 10000))


@row(105)
def info_into_null(world: World):
    return here(world).NetServerGetInfo(None, 7, missing="bufptr")


@row(106)
def no_memory_for_a_server(world: World):
    here(world).machine.refuse("produced", nth=1)
    return nothing_at_all(world, world.NetServerGetInfo(None, 101))


@row(350)
def empty_name_is_local(world: World):
    assert world.NetServerGetInfo("\\\\", 100)[0] == world.NetServerGetInfo("\\", 100)[0] == 123
    assert world.NetServerGetInfo("a*b", 100)[0] == 123
    return one(world, here(world).NetServerGetInfo("", 100), name="HERE")


@row(110)
def who_is_logged_on(world: World):
    here(world).machine.caller = pybuf.Caller("ann")
    one(world, world.NetWkstaUserGetInfo(None, 0), username="ann")
    one(world, world.NetWkstaUserGetInfo(None, 1101), oth_domains="")
    return one(world, world.NetWkstaUserGetInfo(None, 1), username="ann", logon_domain="CORP", logon_server="HERE")


@row(112)
def nobody_knows_who_is_logged_on(world: World):
    world.machine.services = {"server"}
    return nothing_at_all(world, world.NetWkstaUserGetInfo(None, 1))


@row(113)
def transports(world: World):
    answer = here(world).NetWkstaTransportEnum(None, 0, LONGEST, 0)
    assert [(each.transport_name, each.wan_ish) for each in reads(world, answer[1]) or ()] in (
        [("T1", 0), ("T2", 1), ("T3", 0)], [])
    return listed(world, answer, 3)


@row(114)
def level_comes_before_all(world: World):
    if not hasattr(world.door, "objects"):
        for output in ("bufptr", "entriesread", "totalentries"):
            assert world.NetWkstaTransportEnum("no such", 1, LONGEST, 0, missing=output)[0] == 124
    return nothing_at_all(world, world.NetWkstaTransportEnum("a*b", 1, LONGEST, 5))


@row(115)
def no_count_of_transports(world: World):
    assert world.NetWkstaTransportEnum("no such", 0, LONGEST, 0, missing="bufptr")[0] == 87
    return world.NetWkstaTransportEnum("no such", 0, LONGEST, 0, missing="entriesread")


@row(116)
def no_total_of_transports(world: World):
    return world.NetWkstaTransportEnum("no such", 0, LONGEST, 0, missing="totalentries")


@row(117)
def no_adapter(world: World):
    return nothing_at_all(world, here(world, transports=()).NetWkstaTransportEnum(None, 0, LONGEST, 0))


@row(347)
def no_memory_for_transports(world: World):
    here(world).machine.refuse("produced", nth=1)
    return nothing_at_all(world, world.NetWkstaTransportEnum(None, 0, LONGEST, 0))


@row(348)
def server_without_transports(world: World):
    return nothing_at_all(world, here(world).NetWkstaTransportEnum("FAR", 0, LONGEST, 0))


@row(118)
def users(world: World):
    here(world)
    for level in (1, 2, 3, 10, 11, 20):
        listed(world, world.NetUserEnum(None, level, 0, LONGEST, 0), 3, "ann", "bob", "PC1$")
    listed(world, world.NetUserEnum("far", 0, 0, LONGEST, None), 1, "zoe")
    return listed(world, world.NetUserEnum(None, 0, 0, LONGEST, 0), 3, "ann")


@row(343)
def users_of_a_type(world: World):
    listed(world, here(world).NetUserEnum(None, 0, 0x10, LONGEST, 0), 1, "PC1$")
    assert world.NetUserEnum(None, 0, 0x20, LONGEST, 0)[:4] == (0, None, 0, 0)
    return listed(world, world.NetUserEnum(None, 0, 2, LONGEST, 0), 2, "ann", "bob")


@row(344)
def passwords_are_null(world: World):
    for level in (1, 2, 3):
        answer = here(world).NetUserEnum(None, level, 0, LONGEST, 0)
        assert {each.password for each in reads(world, answer[1]) or ()} <= {None}
        listed(world, answer, 3)
    return answer


@row(119)
def users_without_right(world: World):
    here(world).machine.caller = NOBODY
    return nothing_at_all(world, world.NetUserEnum(None, 0, 0, LONGEST, 0))


@row(120)
def levels_of_one_user_alone(world: World):
    here(world)
    assert [world.NetUserEnum(None, level, 0, LONGEST, 0)[0] for level in (23, 24, 5)] == [124] * 3
    return nothing_at_all(world, world.NetUserEnum(None, 4, 0, LONGEST, 0))


@row(121, 140, 346)
def not_even_one_fits(world: World):
    arguments = [None, 0, *([0] if world.row.function == "NetUserEnum" else [])]
    answer = here(world).routine(*arguments, 10 if world.door.is_guest else 9, 0)
    assert answer[1:4] == (None, None, None)
    assert answer[4] == 0
    assert answer.written is None or set(answer.written.values()) <= {False, True}
    return nothing_at_all(world, answer)


@row(122, 139)
def bad_computer_name(world: World):
    more = [0] if world.row.function == "NetUserEnum" else []
    here(world)
    assert world.routine("nowhere", 0, *more, LONGEST, 0)[0] == 53
    return nothing_at_all(world, world.routine("\\\\a*b", 0, *more, LONGEST, 0))


@row(123, 132, 138, 345)
def more_entries(world: World):
    more = [0] if world.row.function == "NetUserEnum" else []
    size = size_of_all(world, here(world).routine(None, 0, *more, LONGEST, 0))
    answer = world.routine(None, 0, *more, size - 1, 0)
    assert answer[2:4] == (2, 3)
    assert answer[4] != 0
    return frees_whole(world, answer)


@row(337, 339, 341)
def resumed_until_the_end(world: World):
    more = [0] if world.row.function == "NetUserEnum" else []
    here(world)
    # One at a time: as long as the longest, shorter than any two.
    length = size_of_all(world, world.routine(None, 0, *more, LONGEST, 0)) // 2
    answer, resume, names, totals = (234,), 0, [], []
    while answer[0] == 234:
        answer = world.routine(None, 0, *more, length, resume)
        resume = answer[4]
        totals.append((answer[3], answer[2]))
        names += [each[0] for each in reads(world, answer[1]) or ()]
        frees_whole(world, answer)
    assert sum(read for _, read in totals) == 3
    assert totals[0][0] == 3
    assert totals[1][0] == 3 - totals[0][1]
    assert len(names) in (3, 0)
    assert len(set(names)) == len(names)
    assert resume == 0
    return answer


@row(338, 340, 342)
def resume_handle_nobody_gave(world: World):
    more = [0] if world.row.function == "NetUserEnum" else []
    size = size_of_all(world, here(world).routine(None, 0, *more, LONGEST, 0))
    answer = world.routine(None, 0, *more, size - 1, 0)
    given = answer[4]
    frees_whole(world, answer)
    for wrong in (1, given - 1, given + 1, given ^ 1 << 23, given ^ 1 << 20, 0x7FFFFFFF):
        answer = world.routine(None, 0, *more, LONGEST, wrong)
        assert answer[0] == 87
        assert answer[4] == wrong
    frees_whole(world, world.routine(None, 0, *more, LONGEST, given))
    here(world)
    assert world.routine(None, 0, *more, LONGEST, given)[0] == 87
    return nothing_at_all(world, answer)


@row(124)
def one_user(world: World):
    here(world)
    for level in (0, 1, 2, 3, 4, 10, 11, 20, 23):
        one(world, world.NetUserGetInfo(None, "ANN", level), name="ann")
    one(world, world.NetUserGetInfo(None, "ann", 4), logon_hours=b"\xff" * 21)
    one(world, world.NetUserGetInfo("FAR", "zoe", 20), name="zoe")
    return one(world, world.NetUserGetInfo(None, "bob", 24), internet_identity=0, internet_provider_name=None)


@row(125)
def one_user_without_right(world: World):
    here(world).machine.caller = NOBODY
    return nothing_at_all(world, world.NetUserGetInfo(None, "no such", 1))


@row(126)
def user_of_an_unknown_server(world: World):
    return nothing_at_all(world, here(world).NetUserGetInfo("nowhere", "ann", 1))


@row(127)
def level_of_no_user(world: World):
    return nothing_at_all(world, here(world).NetUserGetInfo("a*b", "ann", 10000))


@row(128)
def user_of_a_bad_computer_name(world: World):
    return nothing_at_all(world, here(world).NetUserGetInfo("\\\\a*b", "ann", 1))


@row(129)
def unknown_user(world: World):
    return nothing_at_all(world, here(world).NetUserGetInfo(None, "zoe", 1))


@row(130)
def backslashes_are_no_server(world: World):
    assert here(world).NetUserGetInfo("\\\\", "ann", 1)[0] == 123
    return nothing_at_all(world, world.NetUserGetInfo("\\", "ann", 1))


@row(131)
def shares(world: World):
    here(world)
    for level in (0, 1, 2, 503):
        listed(world, world.NetShareEnum(None, level, LONGEST, 0), 3, "DATA", "IPC$", "X")
    answer = world.NetShareEnum(None, 502, LONGEST, 0)
    for entry in reads(world, answer[1]) or ():
        assert entry.security_descriptor == (b"12345" if entry.netname == "X" else None)
    return listed(world, answer, 3)


@row(133)
def shares_without_right(world: World):
    here(world).machine.caller = NOBODY
    listed(world, world.NetShareEnum(None, 1, LONGEST, 0), 3)
    assert [world.NetShareEnum(None, level, LONGEST, 0)[0] for level in (2, 502)] == [5, 5]
    return nothing_at_all(world, world.NetShareEnum(None, 503, LONGEST, 0))


@row(134)
def level_of_no_share(world: World):
    return nothing_at_all(world, here(world).NetShareEnum(None, 501, LONGEST, 0))


@row(336)
def one_share_in_any_case(world: World):
    return listed(world, here(world).NetShareEnum(None, 2, 0, 0), 1, "DATA")


@row(136)
def local_groups(world: World):
    listed(world, here(world).NetLocalGroupEnum(None, 1, LONGEST, 0), 3, "Admins", "Print", "Empty")
    return listed(world, world.NetLocalGroupEnum(None, 0, LONGEST, 0), 3, "Admins")


@row(137)
def local_groups_without_right(world: World):
    here(world).machine.caller = NOBODY
    return nothing_at_all(world, world.NetLocalGroupEnum(None, 0, LONGEST, 0))


@row(141, 356)
def level_of_no_group(world: World):
    return nothing_at_all(world, here(world).routine(None, 9, LONGEST, 0))


@row(142)
def displayed(world: World):
    here(world)
    for level, count in ((1, 2), (2, 1), (3, 3)):
        status, found, block = world.NetQueryDisplayInformation(None, level, 0, 1000, LONGEST)
        assert (status, found) == (0, count)
        assert [each.next_index for each in reads(world, block) or ()] in (list(range(1, count + 1)), [])
        assert world.NetApiBufferFree(block)[0] == 0
    here(world, users=[pybuf.User(f"u{i:03}") for i in range(101)], groups=(), local_groups=())
    status, found, block = world.NetQueryDisplayInformation(None, 1, 0, 1000, LONGEST)
    assert (status, found) == (234, 100)
    assert world.NetApiBufferFree(block)[0] == 0
    answer = world.NetQueryDisplayInformation(None, 1, 100, 1000, LONGEST)
    assert answer[1] == 1
    assert world.NetApiBufferFree(answer[2])[0] == 0
    return answer


@row(143)
def displayed_without_right(world: World):
    here(world).machine.caller = NOBODY
    return world.NetQueryDisplayInformation(None, 1, 0, 10, LONGEST)


@row(144)
def level_that_is_not_displayed(world: World):
    assert here(world).NetQueryDisplayInformation(None, 0, 0, 10, LONGEST)[0] == 124
    return world.NetQueryDisplayInformation(None, 4, 0, 10, LONGEST)


@row(145)
def displayed_in_parts(world: World):
    index, names = 0, []
    here(world)
    while True:
        answer = world.NetQueryDisplayInformation(None, 3, index, 1, LONGEST)
        index += answer[1]
        names += [each.name for each in reads(world, answer[2]) or ()]
        assert world.NetApiBufferFree(answer[2])[0] == 0
        if answer[0] == 0:
            break
        more = answer
    assert index == 3
    assert names in (["Others", "Readers", "Writers"], [])
    return more


@row(349)
def displayed_past_the_end(world: World):
    answer = here(world).NetQueryDisplayInformation(None, 1, 9, 10, LONGEST)
    assert answer[1:] == (0, None)
    return answer


@row(146)
def joined(world: World):
    answer = here(world).NetGetJoinInformation(None)
    assert answer[2] == 3
    if not world.door.is_guest:
        wide = "utf-32-le" if world.door.letter == "c" else "utf-16-le"
        assert bytes(world.door.buffer_at(world.machine, answer[1])) == "CORP\0".encode(wide)
    return one(world, answer, name="CORP")


@row(147)
def no_memory_for_a_name(world: World):
    here(world).machine.refuse("produced", nth=1)
    answer = world.NetGetJoinInformation(None)
    assert answer[2] is None
    return nothing_at_all(world, answer)


@row(148)
def join_into_null(world: World):
    assert here(world).NetGetJoinInformation(None, missing="BufferType")[0] == 87
    answer = world.NetGetJoinInformation(None, missing="lpNameBuffer")
    assert not answer.written["BufferType"]
    return answer


@row(351)
def groups_of_a_user(world: World):
    listed(world, here(world).NetUserGetLocalGroups(None, "ann", 0, 1, LONGEST), 2, "Admins", "Print")
    return listed(world, world.NetUserGetLocalGroups(None, "ann", 0, 0, LONGEST), 1, "Admins")


@row(352)
def level_of_no_groups_of_a_user(world: World):
    assert here(world).NetUserGetLocalGroups(None, "ann", 0, 2, LONGEST)[0] == 1004
    return nothing_at_all(world, world.NetUserGetLocalGroups(None, "ann", 1, 0, LONGEST))


@row(357)
def groups_of_nobody(world: World):
    return nothing_at_all(world, here(world).NetUserGetLocalGroups(None, "nobody", 0, 0, LONGEST))


@row(353)
def members(world: World):
    here(world)
    for level in (0, 1, 2):
        listed(world, world.NetLocalGroupGetMembers(None, "admins", level, LONGEST, 0), 2)
    assert world.NetLocalGroupGetMembers(None, "Empty", 0, LONGEST, 0)[:4] == (0, None, 0, 0)
    assert world.NetLocalGroupGetMembers(None, "nothing", 0, LONGEST, 0)[0] == 2220
    part = listed(world, world.NetLocalGroupGetMembers(None, "Admins", 3, 1, 0), 1, "HERE\\ann")
    listed(world, world.NetLocalGroupGetMembers(None, "Admins", 3, LONGEST, part[4]), 1, "HERE\\bob")
    assert world.NetLocalGroupGetMembers(None, "Print", 3, LONGEST, part[4])[0] == 87
    return listed(world, world.NetLocalGroupGetMembers(None, "Admins", 3, LONGEST, 0), 2, "HERE\\ann", "HERE\\bob")


@row(354)
def level_of_no_member(world: World):
    return nothing_at_all(world, here(world).NetLocalGroupGetMembers(None, "Admins", 4, LONGEST, 0))


@row(355)
def groups(world: World):
    here(world)
    for level in (1, 2):
        listed(world, world.NetGroupEnum(None, level, LONGEST, 0), 3, "Writers", "Readers", "Others")
    part = listed(world, world.NetGroupEnum(None, 0, 1, 0), 1, "Writers")
    listed(world, world.NetGroupEnum(None, 0, LONGEST, part[4]), 2, "Readers", "Others")
    return listed(world, world.NetGroupEnum(None, 0, LONGEST, 0), 3, "Writers")


@row(149)
def controller(world: World):
    one(world, here(world).DsGetDcNameW(None, "corp.example", None, None, 0), DomainName="corp.example")
    one(world, world.DsGetDcNameW("FAR", "Corp", None, "Site", 0))
    return one(world, world.DsGetDcNameW(None, None, None, None, 0), DomainControllerName="\\\\DC1", Flags=0x1FD)


@row(150)
def flags_that_contradict(world: World):
    for flags in (0xC0000000, 0x30000):
        assert here(world).DsGetDcNameW(None, None, None, None, flags)[0] == 1004
    return nothing_at_all(world, world.DsGetDcNameW(None, None, None, "Site", 0x40000))


@row(151)
def unknown_domain(world: World):
    assert here(world).DsGetDcNameW(None, "BARE", None, None, 0)[0] == 1355
    assert world.DsGetDcNameW(None, "a*b", None, None, 0)[0] == 1212
    assert world.DsGetDcNameW("a*b", None, None, None, 0)[0] == 1210
    return nothing_at_all(world, world.DsGetDcNameW(None, "ELSEWHERE", None, None, 0))
