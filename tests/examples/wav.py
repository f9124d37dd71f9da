"""Plays a WAV file through the cyclic buffer of a DMA engine and captures it again.

    python wav.py IN.wav OUT.wav
"""

import sys
import wave
from fractions import Fraction

import pybuf
from pybuf import hdaudio

MILLISECOND = Fraction(1, 1000)


def play_and_capture(source: str, target: str) -> None:
    """Writes to `target` what a codec heard of `source`, and gave back."""
    with wave.open(source) as file:
        parameters = file.getparams()
        played = file.readframes(parameters.nframes)
    bits = 8 * parameters.sampwidth
    stream = pybuf.HDAUDIO_STREAM_FORMAT(parameters.framerate, bits, bits, parameters.nchannels)

    # 10 ms are half of the buffer. A notification says that a half is over.
    half = parameters.framerate // 100 * parameters.nchannels * parameters.sampwidth
    machine = pybuf.Machine(clock="manual")
    machine.hdaudio = bus = pybuf.HdAudioBus(codecs=[pybuf.LoopbackCodec()])
    with (
        bus.render_stream(stream, 2 * half, notifications=2) as out,
        bus.capture_stream(stream, 2 * half, notifications=2) as into,
    ):
        heard = cycle(machine, out, into, half, played)
    assert machine.live() == []
    machine.close()

    with wave.open(target, "wb") as file:
        file.setparams(parameters)
        file.writeframes(heard)


def cycle(machine: pybuf.Machine, out: hdaudio.Stream, into: hdaudio.Stream, half: int, played: bytes) -> bytes:
    """What is captured while some bytes are played."""
    half_is_over = out.event()
    parts = [played[at : at + half].ljust(half, b"\0") for at in range(0, len(played), half)]
    heard = b""
    # Both halves are filled before the start; then each that is over is captured, and filled again.
    out.buffer[:] = b"".join(parts[:2]).ljust(2 * half, b"\0")
    hdaudio.start(out, into)
    for number in range(len(parts)):
        while not half_is_over.wait(0):
            machine.advance(MILLISECOND)
        over = slice(0, half) if number % 2 == 0 else slice(half, 2 * half)
        heard += bytes(into.buffer[over])
        out.buffer[over] = parts[number + 2] if number + 2 < len(parts) else bytes(half)
    hdaudio.stop(out, into)
    return heard[: len(played)]


if __name__ == "__main__":
    play_and_capture(sys.argv[1], sys.argv[2])
