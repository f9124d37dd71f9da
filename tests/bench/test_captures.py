"""Packet captures and size tables: what is read, and the one line that says why a file cannot be."""

import gzip
import lzma
import struct

import pytest

from pybuf.bench import capture, sizes
from pybuf.bench.capture import CaptureError
from pybuf.bench.sizes import SizeTableError

LITTLE, BIG = b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4"


def pcap(frames, magic=LITTLE):
    """A capture of (seconds, fraction, kept bytes, original length)."""
    order = "<" if magic[0] in (0xD4, 0x4D) else ">"
    text = magic + struct.pack(order + "HHiIII", 2, 4, 0, 0, 96, 1)
    for seconds, fraction, kept, length in frames:
        text += struct.pack(order + "IIII", seconds, fraction, kept, length) + bytes(kept)
    return text


FRAMES = [(10, 5, 60, 60), (10, 9, 96, 1514), (11, 0, 96, 300)]


@pytest.fixture
def written(tmp_path):
    def write(content, name="c.pcap"):
        path = tmp_path / name
        path.write_bytes(content)
        return path
    return write


@pytest.mark.parametrize(("magic", "fraction_ns"), [
    (LITTLE, 1000), (BIG, 1000), (b"\x4d\x3c\xb2\xa1", 1), (b"\xa1\xb2\x3c\x4d", 1),
])
def test_lengths_are_the_original_ones_and_times_begin_at_0(written, magic, fraction_ns):
    frames = capture.read(written(pcap(FRAMES, magic)))
    assert list(frames.lengths) == [60, 1514, 300]
    assert list(frames.times_ns) == [0, 4 * fraction_ns, 10**9 - 5 * fraction_ns]


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_a_compressed_capture_is_known_by_its_first_bytes(written, compress):
    assert len(capture.read(written(compress(pcap(FRAMES)), "any.name"))) == 3


def test_a_clock_that_is_set_back_stands_still(written):
    frames = capture.read(written(pcap([(5, 0, 0, 1), (3, 0, 0, 2), (6, 0, 0, 3)])))
    assert list(frames.times_ns) == [0, 0, 10**9]


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is no packet capture"),
    (b"= Start\n+ 0x1 0x2\n", "is no packet capture"),
    (b"\x0a\x0d\x0d\x0a" + bytes(40), "is pcapng"),
    (LITTLE + bytes(8), "cut short in its header"),
    (pcap([]), "holds no frame"),
    (pcap(FRAMES)[:-1], "cut short in frame 3"),
    (pcap(FRAMES)[:-97], "cut short in frame 3"),
    (pcap([])[:24] + struct.pack("<IIII", 1, 1, 1 << 30, 60), "frame 1 is said to have 1,073,741,824 bytes"),
    (lzma.compress(pcap(FRAMES))[:-20], "cut short"),
    (gzip.compress(pcap(FRAMES))[:-9], "cut short"),
    (b"\xfd7zXZ\x00" + bytes(60), "damaged"),
])
def test_a_capture_that_cannot_be_used_is_named_in_one_line(written, content, words):
    path = written(content)
    with pytest.raises(CaptureError) as failure:
        capture.read(path)
    assert str(failure.value).startswith(f"{path}: ")
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("read", [capture.read, sizes.read])
def test_a_file_that_is_not_there_is_named(tmp_path, read):
    with pytest.raises(ValueError, match=r"nowhere: No such file"):
        read(tmp_path / "nowhere")


def test_the_table_that_ships_is_scaled_to_the_live_bytes_and_clipped():
    table = sizes.read(sizes.default_path())
    some_sizes, rates, live = table.scaled(64 << 20, 256 << 10)
    assert len(some_sizes) == len(set(some_sizes)) == len(rates) == len(live)
    assert max(some_sizes) == 256 << 10
    total = sum(size * count for size, count in zip(some_sizes, live, strict=True))
    assert abs(total - (64 << 20)) < 2 << 20
    assert sum(rates) == pytest.approx(sum(table.rates))


def test_what_one_size_loses_by_being_a_whole_number_the_next_one_gets():
    table = sizes.SizeTable([10, 20, 30], [1, 1, 1], [0.5, 0.5, 0.5])
    assert table.scaled(30 * 4, 1 << 20)[2] == [2, 2, 2]
    assert table.scaled(45, 1 << 20)[2] == [0, 1, 1]


def test_names_comments_and_empty_lines_are_passed_over(written):
    table = sizes.read(written(b"size,rate,live\n# more\n\n8, 1.5, 2\n16,1,1\n8,0.5,1\n"))
    assert (table.sizes, table.rates, table.live) == ([8, 16], [2.0, 1.0], [3.0, 1.0])


@pytest.mark.parametrize(("content", "words"), [
    (b"", "holds no size"),
    (b"8, 0, 5\n", "holds no size"),
    (b"8, 1, 0\n", "holds no size"),
    (b"8, 1, 2\n16; 3; 4\n", "line 2: expected SIZE, RATE, LIVE BLOCKS; found '16; 3; 4'"),
    (b"8, 1, 2\n-16, 3, 4\n", "line 2"),
    (b"8, nan, 2\n", "line 1"),
    (b"8, 1, inf\n", "line 1"),
    (b"\xfd7zXZ\x00" + bytes(range(256)), "is no text"),
])
def test_a_table_that_cannot_be_used_is_named_in_one_line(written, content, words):
    path = written(content, "t.csv")
    with pytest.raises(SizeTableError) as failure:
        sizes.read(path)
    assert str(failure.value).startswith(f"{path}: ")
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


def test_fewer_live_bytes_than_two_blocks_are_refused():
    with pytest.raises(SizeTableError, match="fewer than two blocks"):
        sizes.SizeTable([1000], [1], [1]).scaled(1500, 1 << 20)
