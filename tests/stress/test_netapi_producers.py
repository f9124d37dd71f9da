"""Producers called from several threads, while the network is another from call to call."""

from __future__ import annotations

import random
import threading

import pybuf
from pybuf import Machine, NetApiBufferFree, NetStatus, Network, User

MEANT = {NetStatus.NERR_Success, NetStatus.ERROR_MORE_DATA, NetStatus.ERROR_INVALID_PARAMETER,
         NetStatus.NERR_BufTooSmall, NetStatus.ERROR_INVALID_LEVEL}


def test_threads_that_enumerate_a_network_that_changes() -> None:
    machine = Machine(clock="manual")
    machine.network = Network(users=[])
    failures: list[BaseException] = []

    def enumerate_users(seed: int) -> None:
        chance = random.Random(seed)
        resume = 0
        try:
            with machine:
                for _ in range(500):
                    status, block, read, _, following = pybuf.NetUserEnum(
                        None, chance.choice((0, 1, 3, 20, 4)), chance.choice((0, 2, 16)), chance.randrange(5000),
                        resume)
                    assert status in MEANT
                    resume = following if status == NetStatus.ERROR_MORE_DATA else 0
                    if block is not None:
                        assert len(block.entries) == read
                        assert all(entry.name.startswith("user") for entry in block.entries)
                        assert NetApiBufferFree(block.address if chance.random() < 0.5 else block) == 0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=enumerate_users, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for count in range(20):
        machine.network = Network(users=[User(f"user{i}", "x" * i) for i in range(count * 5)])
    for thread in threads:
        thread.join()
    assert not failures
    assert machine.live() == []
    assert machine.check() is None
    machine.close()
