"""A WAV file is played through a cyclic buffer and captured again, and its bytes are the same."""

import math
import runpy
import subprocess
import sys
import wave
from pathlib import Path

import pytest

import pybuf

SOURCE = Path(__file__).with_name("wav.py")
EXAMPLE = runpy.run_path(str(SOURCE))


def tone(path, rate, channels, width, frames):
    """Writes a file of 440 Hz."""
    middle = 128 if width == 1 else 0
    top = (1 << 8 * width - 1) - 1
    samples = (middle + round(top * math.sin(440 * math.tau * (n // channels) / rate))
               for n in range(frames * channels))
    with wave.open(str(path), "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.writeframes(b"".join(each.to_bytes(width, "little", signed=width > 1) for each in samples))


@pytest.mark.parametrize(("rate", "channels", "width", "frames"), [
    (48000, 2, 2, 30_000), (44100, 1, 2, 12_345), (8000, 2, 2, 1), (11025, 1, 1, 5000), (96000, 2, 3, 10_000),
    (48000, 6, 2, 4800), (22050, 2, 4, 441), (48000, 2, 2, 0),
])
def test_what_was_played_is_captured(tmp_path, rate, channels, width, frames):
    tone(tmp_path / "in.wav", rate, channels, width, frames)
    EXAMPLE["play_and_capture"](str(tmp_path / "in.wav"), str(tmp_path / "out.wav"))
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "in.wav").read_bytes()


def test_it_runs_as_a_program(tmp_path):
    tone(tmp_path / "in.wav", 48000, 2, 2, 1000)
    done = subprocess.run([sys.executable, "-P", "-X", "dev", "-W", "error", str(SOURCE), "in.wav", "out.wav"],
                          cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "in.wav").read_bytes()


def test_a_rate_that_the_link_has_not_is_refused(tmp_path):
    tone(tmp_path / "in.wav", 12345, 1, 2, 100)
    with pytest.raises(pybuf.HdAudioError, match=r"AllocateRenderDmaEngine: STATUS_INVALID_PARAMETER.*12345"):
        EXAMPLE["play_and_capture"](str(tmp_path / "in.wav"), str(tmp_path / "out.wav"))
    assert not (tmp_path / "out.wav").exists()
