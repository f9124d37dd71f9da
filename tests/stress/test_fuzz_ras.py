"""Random RAS calls, each predicted by a model: live buffers by session, and the state of a port."""

import random
import threading
from fractions import Fraction

import pytest

import pybuf
import pybuf.ras

NEVER = 0xFFFFFFFF


class Model:
    """Sessions of one thread on a port of its own, and what every call must answer."""

    def __init__(self, machine, seed):
        self.random = random.Random(seed)
        self.machine = machine
        self.port = machine.ras.open_port()
        self.peer = self.port.transport.peer
        self.sessions = [machine.ras.open_session(self.port) for _ in range(2)]
        self.live = []                  # (session, Buffer, size)
        self.dead = [None, 1, 2**64 - 1]
        self.queue = b""
        self.receive = None             # (session, Buffer, size); then whether it timed out
        self.is_down = False
        self.event = pybuf.Event(machine)

    def buffer(self):
        """A session, and a buffer that it may know or not: its size, or None."""
        session = self.random.choice(self.sessions)
        if self.live and self.random.random() < 0.8:
            owner, buffer, size = self.random.choice(self.live)
            return session, buffer, size if owner is session else None
        return session, self.random.choice(self.dead), None

    def get(self):
        session, wanted = self.random.choice(self.sessions), self.random.choice([0, 1, 7, 64, 1500, 1501])
        status, buffer, size = session.RasGetBuffer(wanted)
        assert (status, size) == (0, min(wanted, 1500))
        self.live.append((session, buffer, size))

    def free(self):
        session, buffer, size = self.buffer()
        is_good = size is not None and (self.receive is None or self.receive[1] is not buffer)
        given = buffer.address if is_good and self.random.random() < 0.3 else buffer
        assert session.RasFreeBuffer(given) == (0 if is_good else 610)
        if is_good:
            self.live = [each for each in self.live if each[1] is not buffer]
            self.dead = [*self.dead[-20:], buffer]

    def send(self):
        session, buffer, size = self.buffer()
        count = self.random.choice([0, 1, 7, 1500])
        before = len(self.peer.received)
        expected = 610 if size is None or count > size else 619 if self.is_down and count else 0
        assert session.RasSendBuffer(self.port, buffer, count) == expected
        assert len(self.peer.received) - before == (0 if expected else count)

    def begin(self):
        session, buffer, size = self.buffer()
        timeout = self.random.choice([0, 5, NEVER])
        if self.receive is None:
            self.event.reset()
        expected = 610 if not size else 616 if self.receive else 0
        assert session.RasReceiveBuffer(self.port, buffer, timeout, self.event)[0] == expected
        if expected == 0:
            self.receive = (session, buffer, size)
            assert self.event.is_set() == bool(self.queue or self.is_down or timeout == 0)

    def retrieve(self):
        session, buffer, size = self.buffer()
        is_set = self.event.is_set()
        status, count = session.RasRetrieveBuffer(self.port, buffer)
        if size is None or self.receive is None:
            assert status == 610
        elif not is_set:
            assert status == 600
        elif self.queue:
            brought = min(len(self.queue), self.receive[2])
            assert (status, count) == (603 if size < brought else 0, brought)
            if status == 0:
                assert bytes(buffer[:count]) == self.queue[:count]
                self.queue = self.queue[count:]
                self.receive = None
        else:
            assert (status, count) == (629 if self.is_down else 638, None)
            self.receive = None

    def deliver(self):
        data = self.random.randbytes(self.random.choice([1, 10, 2000]))
        assert self.peer.send(data) is not self.is_down
        self.queue += b"" if self.is_down else data

    def hang(self):
        if self.random.random() < 0.05:
            assert self.peer.close() is not self.is_down
            self.is_down = True

    def step(self):
        self.random.choice([self.get, self.get, self.free, self.free, self.send, self.begin, self.retrieve,
                            self.retrieve, self.deliver, self.hang])()

    def end(self):
        for session in self.sessions:
            assert sorted(block.size for block in session.live()) == sorted(
                size for owner, _, size in self.live if owner is session)
            session.end()
        self.port.close()


@pytest.mark.parametrize("seed", range(20))
def test_one_thread_is_as_the_model_says(seed):
    machine = pybuf.Machine(clock="manual")
    model = Model(machine, seed)
    for _ in range(500):
        model.step()
        if model.random.random() < 0.1:
            machine.advance(Fraction(1, 100))
        assert machine.check() is None
    model.end()
    assert machine.live() == []
    machine.close()


def test_threads_do_not_disturb_one_another():
    machine = pybuf.Machine(clock="manual")
    finished = []

    def work(seed):
        model = Model(machine, seed)
        for _ in range(1500):
            model.step()
        model.end()
        finished.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(finished) == 4
    assert machine.check() is None
    assert machine.live() == []
    machine.close()
