"""A WAV file is played through a cyclic buffer and captured again, and its bytes are the same."""

import math
import runpy
import struct
import wave
from pathlib import Path

import pytest

EXAMPLE = runpy.run_path(str(Path(__file__).with_name("wav.py")))


@pytest.mark.parametrize(("rate", "channels", "frames"), [(48000, 2, 30_000), (44100, 1, 12_345), (8000, 2, 1)])
def test_what_was_played_is_captured(tmp_path, rate, channels, frames):
    with wave.open(str(tmp_path / "in.wav"), "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(2)
        tone = (round(30000 * math.sin(440 * math.tau * n / rate)) for n in range(frames * channels))
        file.writeframes(struct.pack(f"<{frames * channels}h", *tone))
    EXAMPLE["play_and_capture"](str(tmp_path / "in.wav"), str(tmp_path / "out.wav"))
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "in.wav").read_bytes()
