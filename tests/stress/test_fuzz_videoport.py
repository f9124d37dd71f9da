"""Random VideoPort calls, each predicted by a model: blocks and charges of a device, and every bug check in full."""

import random
import threading
from contextlib import suppress

import pytest

import pybuf
from pybuf import VideoPortAllocateBuffer, VideoPortAllocatePool, VideoPortFreePool, VideoPortReleaseBuffer

pytestmark = pytest.mark.filterwarnings("ignore:.*is obsolete:DeprecationWarning")

ALLOWANCE = 40_000
TAG = 0x44727644
PAGED, NONPAGED = 1, 0
SETTINGS = {
    "plain": {}, "verifier": {"verifier": True}, "special pool": {"special_pool": True},
    "shared": {"quirks": {"video_pairing": "shared", "video_zero": "minimal"}},
}


class Block:
    def __init__(self, buffer, kind, pool_type, fill):
        self.buffer, self.kind, self.type, self.fill = buffer, kind, pool_type, fill
        self.address, self.size = buffer.address, len(buffer)
        buffer[:] = bytes([fill]) * self.size

    @property
    def is_paged(self):
        return bool(self.type & 1)


class Model:
    """A device of one thread, and what every call must answer."""

    def __init__(self, machine, settings, seed):
        self.random = random.Random(seed)
        self.machine = machine
        self.is_verifier = settings.get("verifier", False)
        quirks = settings.get("quirks", {})
        self.is_shared = quirks.get("video_pairing") == "shared"
        self.is_minimal = quirks.get("video_zero") == "minimal"
        self.device = machine.video_device(allowance_bytes=ALLOWANCE)
        self.live = []
        self.dead = []
        self.bugs = 0

    @property
    def charged(self):
        return sum(block.size for block in self.live if block.kind == "buffer")

    def at(self, irql, call, *arguments):
        """A call at an IRQL: its answer, or a bug check's code and parameters."""
        with self.machine.irql(irql):
            try:
                return call(self.random.choice([self.device, self.device.extension]), *arguments)
            except pybuf.BugCheck as bug:
                self.bugs += 1
                return int(bug.code), *bug.parameters

    def level(self):
        return self.random.choice([0, 0, 0, 0, 1, 2, 3])

    def keep(self, buffer, kind, pool_type, size):
        assert len(buffer) == size
        assert buffer.address // 4096 == (buffer.address + size - 1) // 4096 or buffer.address % 4096 == 0
        assert buffer.address % (64 if pool_type & 4 else 16) == 0
        self.live.append(Block(buffer, kind, pool_type, self.random.randrange(256)))

    def allocate_buffer(self):
        size, irql = self.random.choice([0, 1, 100, 4096, self.random.randrange(20_000)]), self.level()
        answer = self.at(irql, VideoPortAllocateBuffer, size)
        wanted = max(size, 1)
        if irql > 1:
            assert answer == ((0xC4, 1, irql, PAGED, size) if self.is_verifier else (0xC2, 8, irql, PAGED, size))
        elif size == 0 and not self.is_minimal:
            assert answer == ((0xC4, 0, irql, PAGED, 0) if self.is_verifier else (0xC2, 0, 0, PAGED, 0))
        elif self.charged + wanted > ALLOWANCE:
            assert answer == (122, None)
        else:
            assert answer[0] == 0
            self.keep(answer[1], "buffer", PAGED, wanted)

    def allocate_pool(self):
        pool_type = self.random.choice([0, 1, 4, 5, 0, 1, 4, 5, 2, 6])
        tag = self.random.choice([TAG, TAG, TAG, TAG, 0, 0x20474942, 0x2E2E2E2E])
        size, irql = self.random.choice([0, 1, 16, 100, 2048, 4097, self.random.randrange(70_000)]), self.level()
        answer = self.at(irql, VideoPortAllocatePool, pool_type, size, tag)
        if pool_type & 2:
            assert answer == (0xC2, 0x9A, pool_type, size, tag)
        elif irql > (1 if pool_type & 1 else 2):
            which = (0xC4, 1 if pool_type & 1 else 2) if self.is_verifier else (0xC2, 8)
            assert answer == (*which, irql, pool_type, size)
        elif size == 0:
            assert answer == ((0xC4, 0, irql, pool_type, 0) if self.is_verifier else (0xC2, 0, 0, pool_type, tag))
        elif tag == 0:
            assert answer == (0xC2, 0x9B, pool_type, size, 0)
        elif tag == 0x20474942:
            assert answer == (0xC2, 0x9C, pool_type, size, 0)
        elif tag == 0x2E2E2E2E:
            assert answer == (0xC2, 0x9D, tag, pool_type, 0)
        else:
            self.keep(answer, "pool", pool_type, size)

    def free(self):
        if not self.live:
            return
        block, irql = self.random.choice(self.live), self.level()
        is_pool = (block.kind == "pool") is not (self.random.random() < 0.2)
        call = VideoPortFreePool if is_pool else VideoPortReleaseBuffer
        given = block.buffer if self.random.random() < 0.5 else block.address
        assert bytes(block.buffer) == bytes([block.fill]) * block.size
        if self.random.random() < 0.1:
            with memoryview(block.buffer), pytest.raises(BufferError):
                self.at(irql, call, given)
        answer = self.at(irql, call, given)
        if is_pool is not (block.kind == "pool") and not self.is_shared:
            assert answer == (0xC2, 0x99, block.address, 0, 0)
        elif irql > (1 if block.is_paged else 2):
            which = (0xC4, 0x11 if block.is_paged else 0x12) if self.is_verifier else (0xC2, 9)
            assert answer == (*which, irql, block.type, block.address)
        else:
            assert answer is None
            self.live.remove(block)
            self.dead = [*self.dead[-20:], block]

    def free_again(self):
        if not self.dead:
            return
        block = self.random.choice(self.dead)
        answer = self.at(0, VideoPortFreePool if block.kind == "pool" else VideoPortReleaseBuffer, block.buffer)
        assert answer == ((0xC4, 0x13, block.address, 0, 0) if self.is_verifier else (0xC2, 7, 0, 0, block.address))

    def free_what_is_none(self):
        call = self.random.choice([VideoPortFreePool, VideoPortReleaseBuffer])
        value, p1 = self.random.choice([(0, 0x46), (1, 0x42), (self.random.getrandbits(64) | 1, 0x42)])
        if self.live and self.random.random() < 0.5:
            block = self.random.choice(self.live)
            value, p1 = block.address + self.random.randrange(1, block.size + 1), 0x99
            if value == block.address + block.size:
                return
        code, first, *rest = self.at(0, call, value)
        assert (code, first, *rest) == ((0xC4, 0x10, value, 0, 0) if self.is_verifier else (0xC2, p1, value, 0, 0))

    def step(self):
        self.random.choice([self.allocate_buffer, self.allocate_pool, self.allocate_pool, self.free, self.free,
                            self.free, self.free_again, self.free_what_is_none])()
        assert self.device.charged == self.charged

    def has_its_blocks(self):
        assert sorted((each.address, each.size) for each in self.device.live()) == sorted(
            (block.address, block.size) for block in self.live)

    def end(self):
        """Removes the device, which tells what it leaves."""
        self.has_its_blocks()
        paged = sum(block.size for block in self.live if block.is_paged)
        nonpaged = sum(block.size for block in self.live if not block.is_paged)
        try:
            left = self.device.remove()
        except pybuf.BugCheck as bug:
            assert self.is_verifier
            assert bug.parameters == (0x60, paged, nonpaged, len(self.live))
            left = bug.left
            self.bugs += 1
        else:
            assert not (self.is_verifier and self.live)
        assert sorted(each.size for each in left) == sorted(block.size for block in self.live)
        for block in self.live:
            with suppress(ValueError):
                raise AssertionError(block.buffer[0])


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("seed", range(3))
def test_one_thread_is_as_the_model_says(settings, seed):
    machine = pybuf.Machine(clock="manual", **settings)
    model = Model(machine, settings, seed)
    for count in range(600):
        model.step()
        if count % 20 == 0:
            model.has_its_blocks()
            assert machine.check() is None
            assert machine.sweep() == []
    model.end()
    assert machine.live() == []
    assert len(machine.bug_checks) == min(model.bugs, 256)
    machine.close()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_threads_do_not_disturb_one_another(settings):
    machine = pybuf.Machine(clock="manual", **settings)
    finished = []

    def work(seed):
        model = Model(machine, settings, seed)
        for _ in range(800):
            model.step()
        model.end()
        finished.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(finished) == [0, 1, 2, 3]
    assert machine.live() == []
    assert machine.check() is None
    machine.close()
