"""Random HD Audio calls, each predicted by a model: engines, bandwidth, buffers, states, positions, notifications."""

import random
import threading
from fractions import Fraction

import pytest

import pybuf

BAD_HANDLE, BAD_PARAMETER, REFUSED = 0xC0000008, 0xC000000D, 0xC0000010
FULL, FIFO, HIGH = 0xC000009A, 0xC0000023, 0xC0000001
FIFO_BYTES = 128
FORMATS = [(48000, 16, 16, 2), (44100, 16, 16, 2), (8000, 8, 8, 1), (192000, 24, 32, 2), (96000, 20, 24, 3),
           (192000, 32, 32, 8), (48000, 16, 8, 2), (12345, 16, 16, 2)]


class Engine:
    """What the bus must know of one."""

    def __init__(self, is_render, is_of_both, cost, form):
        self.is_render, self.is_of_both, self.cost, self.form = is_render, is_of_both, cost, form
        self.kind = None            # "plain", "notified", "contiguous"
        self.is_set_up = False
        self.state = 0
        self.length = 0
        self.zero = self.base = 0
        self.ends = ()              # of fragments that notify, in a round
        self.event = None

    def bytes_at(self, ticks):
        """Bytes since Reset."""
        rate, _, container, channels = self.form
        frames = (ticks - self.zero) * rate // 24_000_000 if self.state == 2 else 0
        return self.base + frames * channels * container // 8

    def notices_until(self, ticks):
        rounds, rest = divmod(self.bytes_at(ticks), self.length)
        return rounds * len(self.ends) + sum(end <= rest for end in self.ends)

    def set_up(self, length, ends=()):
        self.is_set_up, self.length, self.ends, self.base = True, length, ends, 0


class Model:
    """The engines of one client, which has the bus to itself or shares one on which nothing is short."""

    def __init__(self, machine, seed, limits=None):
        self.random = random.Random(seed)
        self.machine = machine
        self.limits = limits
        bus = machine.hdaudio
        self.v2 = bus.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_V2, function_group=seed)
        self.bdl = bus.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_BDL, function_group=seed)
        self.engines = {}
        self.dead = [0, 5, 1 << 63]

    def pick(self):
        """A handle, and its engine or None; and an IRQL."""
        irql = self.random.choice([0, 0, 0, 0, 0, 1, 2])
        if self.engines and self.random.random() < 0.9:
            handle = self.random.choice(list(self.engines))
            return handle, self.engines[handle], irql
        return self.random.choice(self.dead), None, irql

    def at(self, irql, call, *arguments):
        with self.machine.irql(irql):
            return call(*arguments)

    def form(self):
        return self.random.choice(FORMATS)

    def cost(self, form):
        rate, _, container, channels = form
        return -(-rate // 48000) * channels * container

    def why_not(self, form, is_render, given_back=0):
        """The status for a format, apart from engines."""
        if form in FORMATS[-2:]:
            return BAD_PARAMETER
        if 2 * (self.cost(form) // 8) > FIFO_BYTES:
            return FIFO
        used = sum(engine.cost for engine in self.engines.values() if engine.is_render is is_render) - given_back
        return FULL if self.limits and used + self.cost(form) > self.limits["bits"] else 0

    def allocate(self):
        form, is_render = self.form(), self.random.random() < 0.5
        given = pybuf.HDAUDIO_STREAM_FORMAT(*form)
        if is_render:
            status, handle, _ = self.v2.AllocateRenderDmaEngine(given, False)
        else:
            status, handle, _ = self.v2.AllocateCaptureDmaEngine(0, given)
        expected = self.why_not(form, is_render)
        own = [engine for engine in self.engines.values() if engine.is_render is is_render and not engine.is_of_both]
        is_of_both = self.limits is not None and len(own) == self.limits["render" if is_render else "capture"]
        if expected == 0 and is_of_both and sum(e.is_of_both for e in self.engines.values()) == self.limits["both"]:
            expected = FULL
        assert status == expected
        if status == 0:
            assert handle not in self.engines
            self.engines[handle] = Engine(is_render, is_of_both, self.cost(form), form)
            if self.limits is None and len(self.engines) > 3:
                self.end(handle)

    def change(self):
        handle, engine, irql = self.pick()
        form = self.form()
        status, _ = self.at(irql, self.v2.ChangeBandwidthAllocation, handle, pybuf.HDAUDIO_STREAM_FORMAT(*form))
        if irql or engine is None:
            assert status == (HIGH if irql else BAD_HANDLE)
            return
        expected = self.why_not(form, engine.is_render, engine.cost)
        if expected != BAD_PARAMETER and (engine.state or engine.kind):
            expected = REFUSED
        assert status == expected
        if status == 0:
            engine.form, engine.cost = form, self.cost(form)

    def buffer(self):
        handle, engine, irql = self.pick()
        kind, size = self.random.choice(["plain", "notified", "contiguous"]), self.random.randrange(1, 9000)
        count = self.random.choice([1, 2])
        if kind == "plain":
            answer = self.at(irql, self.v2.AllocateDmaBuffer, handle, size)
        elif kind == "notified":
            answer = self.at(irql, self.v2.AllocateDmaBufferWithNotification, handle, count, size)
        else:
            answer = self.at(irql, self.bdl.AllocateContiguousDmaBuffer, handle, size)
        if irql or engine is None:
            assert answer[0] == (HIGH if irql else BAD_HANDLE)
        elif engine.state or engine.kind:
            assert answer[0] == REFUSED
        else:
            assert answer[0] == 0
            engine.kind, engine.size, engine.answer = kind, size, answer
            if kind == "contiguous":
                engine.is_set_up = False
            else:
                assert answer[2] == size
                half = (size // 2,) if count == 2 and size > 1 else ()
                engine.set_up(size, (*half, size) if kind == "notified" else ())

    def fragments(self):
        """SetupDmaEngineWithBdl with two fragments, which may be bad."""
        handle, engine, irql = self.pick()
        first = self.random.choice([64, 128, 500])
        is_bad = self.random.random() < 0.2
        if engine is not None and engine.kind == "contiguous":
            _, data, entries = engine.answer
            physical = self.machine.physical_address(data)
            second = -(-first // 128) * 128
            last = engine.size - second
            if last <= 0:
                return
            entries[0] = (physical, first, 0)
            entries[1] = (physical + second + (8 if is_bad else 0), last, 1)
            length = first + last
        else:
            length = 256
        status, _, _ = self.at(irql, self.bdl.SetupDmaEngineWithBdl, handle, length, 1, None, None)
        if irql or engine is None:
            assert status == (HIGH if irql else BAD_HANDLE)
        elif engine.state or engine.kind != "contiguous":
            assert status == REFUSED
        else:
            assert status == (BAD_PARAMETER if is_bad else 0)
            if status == 0:
                engine.set_up(length, (length,))

    def unbuffer(self):
        handle, engine, irql = self.pick()
        kind = self.random.choice(["plain", "notified", "contiguous"])
        if engine is not None and engine.kind and self.random.random() < 0.7:
            kind = engine.kind
        if kind == "plain":
            status = self.at(irql, self.v2.FreeDmaBuffer, handle)
        elif kind == "contiguous":
            status = self.at(irql, self.bdl.FreeContiguousDmaBuffer, handle)
        else:
            mdl = engine.answer[1] if engine is not None and engine.kind == "notified" else 8
            size = engine.size if mdl != 8 else 1
            status = self.at(irql, self.v2.FreeDmaBufferWithNotification, handle, mdl, size)
        if irql or engine is None:
            assert status == (HIGH if irql else BAD_HANDLE)
        elif engine.state or engine.kind != kind:
            assert status == REFUSED
        else:
            assert status == 0
            engine.kind, engine.is_set_up = None, False

    def state(self):
        wanted = self.random.randrange(4)
        chosen = [self.pick() for _ in range(self.random.choice([1, 1, 2]))]
        irql = self.random.choice([0, 2, 3])
        status = self.at(irql, self.v2.SetDmaEngineState, wanted, [handle for handle, _, _ in chosen])
        engines = [engine for _, engine, _ in chosen]
        if irql > 2:
            expected = HIGH
        elif wanted > 2:
            expected = BAD_PARAMETER
        elif None in engines:
            expected = BAD_HANDLE
        elif any({engine.state, wanted} == {0, 2} or (wanted and not engine.is_set_up) for engine in engines):
            expected = REFUSED
        else:
            expected = 0
        assert status == expected
        if status == 0:
            for engine in engines:
                if wanted == 1 and engine.state == 2:
                    engine.base = engine.bytes_at(self.machine.ticks) if self.limits else 0
                elif wanted == 2 and engine.state == 1:
                    engine.zero = self.machine.ticks
                elif engine.state != wanted:
                    engine.base = 0
                engine.state = wanted

    def free(self):
        handle, engine, irql = self.pick()
        status = self.at(irql, self.v2.FreeDmaEngine, handle)
        if engine is None:
            assert status == BAD_HANDLE
        elif engine.state or engine.kind:
            assert status == REFUSED
        else:
            assert status == 0
            del self.engines[handle]
            self.dead.append(handle)

    def position(self):
        handle, engine, irql = self.pick()
        status, register = self.at(irql, self.v2.GetLinkPositionRegister, handle)
        assert status == (BAD_HANDLE if engine is None else 0)
        # Another thread may let time pass.
        if engine is not None and engine.is_set_up and self.limits:
            assert int(register) == engine.bytes_at(self.machine.ticks) % engine.length

    def event(self):
        handle, engine, irql = self.pick()
        event = pybuf.Event(self.machine)
        status = self.at(irql, self.v2.RegisterNotificationEvent, handle, event)
        if irql or engine is None:
            assert status == (HIGH if irql else BAD_HANDLE)
            return
        assert status == 0
        if engine.event is not None:
            assert self.v2.UnregisterNotificationEvent(handle, engine.event) == 0
        engine.event = event

    def advance(self):
        before = {engine: engine.notices_until(self.machine.ticks) for engine in self.engines.values()
                  if engine.is_set_up and engine.event is not None} if self.limits else {}
        self.machine.advance(Fraction(self.random.choice([0, 1, 7, 500, self.random.randrange(5000)]), 44100))
        for engine, count in before.items():
            assert engine.event.wait(0) is (engine.notices_until(self.machine.ticks) > count)

    def end(self, handle):
        """Frees an engine, whatever it does."""
        engine = self.engines.pop(handle)
        for state in (1, 0):
            self.v2.SetDmaEngineState(state, handle)
        if engine.kind == "notified":
            assert self.v2.FreeDmaBufferWithNotification(handle, engine.answer[1], engine.size) == 0
        elif engine.kind:
            assert (self.v2.FreeDmaBuffer if engine.kind == "plain" else self.bdl.FreeContiguousDmaBuffer)(handle) == 0
        assert self.v2.FreeDmaEngine(handle) == 0
        self.dead.append(handle)

    def blocks(self):
        return sum({None: 0, "contiguous": 2}.get(engine.kind, 1) for engine in self.engines.values())

    def step(self):
        self.random.choice([self.allocate, self.allocate, self.change, self.buffer, self.buffer, self.fragments,
                            self.unbuffer, self.state, self.state, self.state, self.free, self.position, self.event,
                            self.advance, self.advance])()


@pytest.mark.parametrize("seed", range(8))
def test_one_thread_is_as_the_model_says(seed):
    machine = pybuf.Machine(clock="manual")
    machine.hdaudio = pybuf.HdAudioBus(render=2, capture=1, bidirectional=2, render_bits=600, capture_bits=600,
                                       fifo_bytes=FIFO_BYTES)
    model = Model(machine, seed, {"render": 2, "capture": 1, "both": 2, "bits": 600})
    for _ in range(3000):
        model.step()
        assert len(machine.live()) == model.blocks()
        assert machine.check() is None
    for handle in list(model.engines):
        model.end(handle)
    assert machine.live() == []
    machine.close()


def test_threads_do_not_disturb_one_another():
    machine = pybuf.Machine(clock="manual")
    machine.hdaudio = pybuf.HdAudioBus(render=12, capture=12, bidirectional=3, render_bits=1 << 20,
                                       capture_bits=1 << 20, fifo_bytes=FIFO_BYTES, codecs=[pybuf.LoopbackCodec()])
    finished = []

    def work(seed):
        model = Model(machine, seed)
        for _ in range(1500):
            model.step()
        for handle in list(model.engines):
            model.end(handle)
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
