"""Random HD Audio calls: one thread against a model of states, several by invariants."""

import random
import threading
from fractions import Fraction

import pytest

import pybuf

FORMAT = pybuf.HDAUDIO_STREAM_FORMAT(48000, 16, 16, 2)
REFUSED = 0xC0000010


@pytest.mark.parametrize("seed", range(4))
def test_states_follow_the_table(seed):
    rng = random.Random(seed)
    machine = pybuf.Machine(clock="manual")
    bus = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE)
    engines = {}
    for _ in range(1500):
        call = rng.choice(("new", "buffer", "unbuffer", "end", "state", "state", "advance"))
        handle = rng.choice(list(engines)) if engines else 0
        state, has_buffer = engines.get(handle, (None, None))
        if call == "new":
            status, made, _ = bus.AllocateRenderDmaEngine(FORMAT, False)
            assert status == (0 if len(engines) < 4 else 0xC000009A)
            if status == 0:
                engines[made] = (0, False)
        elif call == "advance":
            machine.advance(Fraction(rng.randrange(1000), 48000))
        elif handle == 0:
            assert bus.FreeDmaBuffer(rng.randrange(1 << 32)) == 0xC0000008
        elif call == "buffer":
            is_good = state == 0 and not has_buffer
            assert bus.AllocateDmaBuffer(handle, rng.randrange(1, 9000))[0] == (0 if is_good else REFUSED)
            engines[handle] = (state, has_buffer or is_good)
        elif call == "unbuffer":
            is_good = state == 0 and has_buffer
            assert bus.FreeDmaBuffer(handle) == (0 if is_good else REFUSED)
            engines[handle] = (state, has_buffer and not is_good)
        elif call == "end":
            is_good = state == 0 and not has_buffer
            assert bus.FreeDmaEngine(handle) == (0 if is_good else REFUSED)
            if is_good:
                del engines[handle]
        else:
            wanted = rng.randrange(3)
            is_good = {state, wanted} != {0, 2} and (wanted == 0 or has_buffer)
            assert bus.SetDmaEngineState(wanted, handle) == (0 if is_good else REFUSED)
            if is_good:
                engines[handle] = (wanted, has_buffer)
        assert len(machine.live()) == sum(has for _, has in engines.values())
    assert machine.check() is None
    machine.close()


def test_threads_in_one_bus_leave_it_whole():
    machine = pybuf.Machine(clock="manual")
    machine.hdaudio = pybuf.HdAudioBus(render=6, codecs=[pybuf.LoopbackCodec()])
    bus = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_V2)
    handles = [bus.AllocateRenderDmaEngine(FORMAT, False)[1] for _ in range(3)]
    failures = []

    def work(seed):
        rng = random.Random(seed)
        try:
            for _ in range(400):
                handle = rng.choice(handles)
                call, *given = rng.choice((
                    (bus.AllocateDmaBuffer, handle, 5000), (bus.FreeDmaBuffer, handle),
                    (bus.AllocateDmaBufferWithNotification, handle, 2, 5000),
                    (bus.SetDmaEngineState, rng.randrange(3), [handle]),
                    (machine.advance, Fraction(rng.randrange(500), 48000)), (bus.GetLinkPositionRegister, handle),
                    (bus.TransferCodecVerbs, [pybuf.CodecTransfer(rng.randrange(1 << 32))], lambda *_: None),
                ))
                call(*given)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert machine.check() is None
    machine.close()
