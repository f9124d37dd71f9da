"""Plays a WAV file through the cyclic buffer of a DMA engine and captures it again.

    python wav.py IN.wav OUT.wav
"""

import sys
import wave
from fractions import Fraction

import pybuf

HALF = 1920 * 2


def play_and_capture(source: str, target: str) -> None:
    """Writes to `target` what a codec heard of `source`, and gave back."""
    with wave.open(source) as file:
        rate, channels, bits = file.getframerate(), file.getnchannels(), file.getsampwidth() * 8
        played = file.readframes(file.getnframes())
    machine = pybuf.Machine(clock="manual")
    machine.hdaudio = pybuf.HdAudioBus(codecs=[pybuf.LoopbackCodec()])
    bus = machine.hdaudio.query_interface(pybuf.HDAUDIO_BUS_INTERFACE_V2)
    stream = pybuf.HDAUDIO_STREAM_FORMAT(rate, bits, bits, channels)
    _, render, _ = bus.AllocateRenderDmaEngine(stream, False)
    _, capture, _ = bus.AllocateCaptureDmaEngine(0, stream)
    status, out, size, _, _, _ = bus.AllocateDmaBufferWithNotification(render, 2, 2 * HALF)
    if status:
        raise pybuf.HdAudioError("AllocateDmaBufferWithNotification", status)
    _, into, _, _, _, _ = bus.AllocateDmaBufferWithNotification(capture, 2, size)
    half_is_over = pybuf.Event(machine)
    bus.RegisterNotificationEvent(render, half_is_over)

    # Both halves are filled before the start; then each that is over is filled again, and captured.
    with memoryview(out.buffer) as sent, memoryview(into.buffer) as received:
        padded = played + bytes(-len(played) % HALF)
        sent[:] = padded[:size].ljust(size, b"\0")
        heard = bytearray()
        for state in (1, 2):
            bus.SetDmaEngineState(state, [render, capture])
        at, following = 0, size
        while len(heard) < len(played):
            while not half_is_over.wait(0):
                machine.advance(Fraction(1, 1000))
            heard += received[at : at + HALF]
            sent[at : at + HALF] = padded[following : following + HALF].ljust(HALF, b"\0")
            at, following = HALF - at, following + HALF
    for state in (1, 0):
        bus.SetDmaEngineState(state, [render, capture])
    bus.FreeDmaBufferWithNotification(render, out, size)
    bus.FreeDmaBufferWithNotification(capture, into, size)
    bus.FreeDmaEngine(render)
    bus.FreeDmaEngine(capture)
    assert machine.live() == []
    machine.close()
    with wave.open(target, "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(bits // 8)
        file.writeframes(bytes(heard[: len(played)]))


if __name__ == "__main__":
    play_and_capture(sys.argv[1], sys.argv[2])
