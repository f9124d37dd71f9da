"""Records the allocations of a program: with the recorder of our own, or a Python program with memray.

What is recorded is in the file at once and stays there, whatever becomes of the program. See
`recorder.c` for how, and `recording.py` for the file.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pybuf.bench.files import opened
from pybuf.bench.recordings import memray_trace, recording
from pybuf.bench.recordings._records import Arrivals
from pybuf.bench.recordings.records import RECORD_BYTES

#: The library that is preloaded; there is one on Linux.
RECORDER = Path(__file__).with_name("recorder.so")
SUFFIXES = {"native": ".pybuf", "memray": ".memray", "sizes": ".sizes.csv"}
SIZES_HEADER = "size,receives_per_s,mean_live,receives,lifetimes,mean_lifetime_ns"

#: Options of the interpreter that take the next word of the command line as theirs.
_VALUED = ("-W", "-X", "--check-hash-based-pycs")
_CALIBRATION_PAIRS = 50_000
_CALIBRATION_PASSES = 3


class RecordError(ValueError):
    """What cannot be recorded, or not to that file; its text is one line."""


@dataclass(frozen=True)
class Plan:
    """How a program will be recorded."""

    command: list[str]
    #: "native" or "memray".
    recorder: str
    #: What to call the recording by.
    name: str
    #: Why another recorder was not taken, where that may surprise; or "".
    why: str = ""


@dataclass(frozen=True)
class Program:
    """One process that our recorder recorded: its file, how many records are in it, and what the file says of it."""

    file: Path
    records: int
    header: recording.Header


@dataclass(frozen=True)
class Recorded:
    """What came of it."""

    file: Path
    recorder: str
    seconds: float
    #: Processor time of the program and of the children that it waited for.
    cpu_s: float
    #: As subprocess gives it: negative is the number of the signal that killed the program.
    status: int
    is_interrupted: bool
    #: The programs that were recorded with ours, by file: the first, and with ``--follow`` its children.
    programs: list[Program] = field(default_factory=list)
    #: Receives, where sizes were recorded.
    receives: int | None = None


def plan(command: Sequence[str], recorder: str, is_sizes: bool) -> Plan:
    """Choose how to record a program.

    command   the program and its arguments
    recorder  "native", "memray", or "auto": memray for Python programs whose interpreter has it
    is_sizes  only what arrives is wanted, which memray does not see

    Raises RecordError for a program that cannot be found, and for a recorder that cannot record it.
    """
    found = shutil.which(command[0])
    script = Path(command[0])
    if found is None and script.suffix == ".py" and script.is_file():
        command, found = [sys.executable, *command], sys.executable
    if found is None:
        there_is = "is not executable" if script.is_file() else "there is no such program"
        raise RecordError(f"{command[0]}: {there_is}")
    python = _python_command(found, command)
    name = Path(command[0]).name
    if python is not None:
        name = next((Path(word).stem for word in python[1:] if not word.startswith("-")), name)
    if is_sizes:
        if recorder == "memray":
            raise RecordError("--sizes: memray does not see what arrives; leave out --with memray")
        return Plan(list(command), "native", name)
    if recorder == "memray" and python is None:
        raise RecordError(f"--with memray: {command[0]} is no Python program; leave it out")
    if recorder == "native" or python is None:
        return Plan(list(command), "native", name)
    has_memray = subprocess.run(
        [python[0], "-c", "import memray"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    ).returncode == 0
    if has_memray:
        return Plan(python, "memray", name)
    lack = f"memray is not installed for {python[0]}; install it with: {python[0]} -m pip install memray"
    if recorder == "memray":
        raise RecordError(f"--with memray: {lack}")
    return Plan(list(command), "native", name, lack)


def _python_command(found: str, command: Sequence[str]) -> list[str] | None:
    """The command with its interpreter in front, if it is Python that runs it."""
    if re.fullmatch(r"python(\d(\.\d+)?t?)?", Path(found).name):
        return [found, *command[1:]]
    try:
        with open(found, "rb") as file:
            first = file.readline(256)
    except OSError:
        return None
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        words = words[1 + (words[1:2] == ["-S"]):]
    if not words or not re.fullmatch(r"python(\d(\.\d+)?t?)?", Path(words[0]).name):
        return None
    interpreter = shutil.which(words[0])
    return None if interpreter is None else [interpreter, *words[1:], found, *command[1:]]


def memray_command(command: Sequence[str], file: Path, is_following: bool) -> list[str]:
    """The command line that has memray run a Python program; ``command`` begins with the interpreter."""
    place = 1
    run: list[str] = []
    while place < len(command) and command[place].startswith("-") and len(command[place]) > 1:
        word = command[place]
        place += 1
        if not word.startswith("--") and word[-1] in "cm" and not word.startswith(("-W", "-X")):
            options = [f"-{word[1:-1]}"] if len(word) > 2 else []
            run = [*options, f"-{word[-1]}"]
            place -= 1
            break
        if word in _VALUED:
            place += 1
    interpreter, rest = list(command[:place]), list(command[place:])
    if run:
        interpreter += run[:-1]
        rest = [run[-1], *rest[1:]]
    if not rest:
        raise RecordError("--with memray: the command line names no script and no module to run")
    follow = ["--follow-fork"] if is_following else []
    return [*interpreter, "-m", "memray", "run", "-q", "-f", "-o", str(file), *follow, *rest]


def check_target(file: Path) -> None:
    """Raise RecordError unless ``file`` can be written, and holds nothing but an older recording."""
    try:
        with opened(file) as old:
            start = old.read(64)
        known = (recording.MAGIC, memray_trace.MAGIC, memray_trace.LZ4_MAGIC, SIZES_HEADER[:64].encode())
        if start and not start.startswith(known):
            raise RecordError(f"{file}: exists, and is no recording; name another file with -o")
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        raise RecordError(f"{file}: is a directory; expected a file to write") from None
    except OSError as failure:
        raise RecordError(f"{file}: {failure.strerror}") from None
    try:
        with file.open("ab"):
            pass
        file.unlink()
    except OSError as failure:
        raise RecordError(f"{file}: {failure.strerror}; expected a file that can be written") from None


def environment(file: Path, is_following: bool, is_sizes: bool, given: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a program records itself to ``file``."""
    if not RECORDER.exists():
        raise RecordError("the recorder is built on Linux alone, and is not there; for Python programs: --with memray")
    if re.search("[ :]", str(RECORDER)):
        raise RecordError(f"{RECORDER}: LD_PRELOAD cannot name a path with a space or a colon; install pybuf elsewhere")
    preloaded = given.get("LD_PRELOAD", "")
    new = {
        **given,
        "LD_PRELOAD": f"{RECORDER}:{preloaded}" if preloaded else str(RECORDER),
        "PYBUF_RECORD_FILE": str(file.absolute()),
        "PYBUF_RECORD_FOLLOW": str(int(is_following)),
        "PYBUF_RECORD_SIZES": str(int(is_sizes)),
    }
    if is_sizes:
        # Small objects of Python would lie in arenas, where none of them is seen to be freed.
        new.setdefault("PYTHONMALLOC", "malloc")
    return new


def record(chosen: Plan, file: Path, is_following: bool, is_sizes: bool) -> Recorded:
    """Run a program to its end and record it.

    file          what to write; an older recording there is replaced
    is_following  its children are recorded too, each to ``file`` with a full stop and its process id behind
    is_sizes      write a table of sizes and lifetimes of what arrives (see ``write_sizes``), and no events

    Raises RecordError when ``file`` cannot be written, and when nothing was recorded. An interrupt from
    the terminal reaches the program as well: what it did until then is recorded.
    """
    check_target(file)
    for old in _children(file):
        old.unlink()
    raw = file.with_name(file.name + ".raw") if is_sizes else file
    env = dict(os.environ)
    if chosen.recorder == "memray":
        command = memray_command(chosen.command, file, is_following)
    else:
        command = chosen.command
        raw.unlink(missing_ok=True)
        env = environment(raw, is_following, is_sizes, env)
    began, cpu_began = time.monotonic(), _children_cpu_s()
    status, is_interrupted = _run(command, env)
    seconds, cpu_s = time.monotonic() - began, _children_cpu_s() - cpu_began
    if not raw.exists():
        raise RecordError(_nothing(chosen, status))
    if chosen.recorder == "memray":
        return Recorded(file, "memray", seconds, cpu_s, status, is_interrupted)
    programs = []
    for one in [raw, *_children(raw)]:
        try:
            programs.append(_end(one))
        except recording.ForeignError:
            if one == raw:
                raw.unlink()
                raise RecordError(f"{file}: there was no room for a recording, not even for its first page") from None
            # A child that becomes another program at this moment; it goes on recording itself.
    receives = None
    if is_sizes:
        receives = write_sizes([program.file for program in programs], file)
        for program in programs:
            program.file.unlink()
    return Recorded(file, "native", seconds, cpu_s, status, is_interrupted, programs, receives)


def _nothing(chosen: Plan, status: int) -> str:
    if chosen.recorder == "memray":
        return f"nothing was recorded: memray ended with status {status}"
    return (
        f"nothing was recorded: {chosen.command[0]} is linked statically, runs with rights of its own "
        "(set-user-ID), or may not write there"
    )


def _children(file: Path) -> list[Path]:
    """The recordings of children beside a file."""
    named = re.compile(re.escape(file.name) + r"\.\d+")
    found = []
    for path in sorted(file.parent.iterdir()):
        if named.fullmatch(path.name) and path.is_file():
            with path.open("rb") as raw:
                if raw.read(16).startswith((recording.MAGIC, memray_trace.MAGIC, memray_trace.LZ4_MAGIC)):
                    found.append(path)
    return found


def _run(command: Sequence[str], env: Mapping[str, str]) -> tuple[int, bool]:
    """The program's status, and whether an interrupt came. The terminal sends it to the program as well."""
    interrupts = 0
    program: subprocess.Popen[bytes] | None = None

    def note(number: int, _: object) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if program is not None and (number == signal.SIGTERM or interrupts > 1):
            program.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        try:
            program = subprocess.Popen(command, env=env)
        except OSError as failure:
            raise RecordError(f"{command[0]}: {failure.strerror}") from None
        return program.wait(), interrupts > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end(file: Path) -> Program:
    """Read the header, and cut off the room that was not used, unless the process still writes there."""
    with file.open("r+b") as raw:
        header = recording.Header.of(raw.read(recording.HEADER_BYTES))
        used = recording.HEADER_BYTES + header.claimed * RECORD_BYTES
        used = min(used, raw.seek(0, os.SEEK_END))
        if not Path(f"/proc/{header.pid}").exists():
            raw.truncate(used)
    return Program(file, (used - recording.HEADER_BYTES) // RECORD_BYTES, header)


def write_sizes(files: Sequence[Path], target: Path) -> int:
    """Reduce recordings with receives to a table; answers how many receives there were.

    A row says: the size that arrived; how often a second; how many buffers that it had arrived in were
    alive, on average; how often in all; for how many of those a lifetime is known; its mean. A buffer
    lives from its receive until the heap block that it lies in is freed, receives again, or the
    recording ends.
    """
    sizes: dict[int, tuple[int, int, int]] = {}
    duration_ns = 1
    for file in files:
        arrivals = Arrivals()
        with file.open("rb") as raw:
            for batch in recording.read(raw).batches:
                arrivals.feed(batch)
        lasted_ns, found = arrivals.finish()
        duration_ns = max(duration_ns, lasted_ns)
        for size, more in found.items():
            receives, lifetimes, total_ns = sizes.get(size, (0, 0, 0))
            sizes[size] = receives + more[0], lifetimes + more[1], total_ns + more[2]
    lines = [SIZES_HEADER]
    for size, (receives, lifetimes, total_ns) in sorted(sizes.items()):
        mean_ns = total_ns // lifetimes if lifetimes else 0
        # Those whose lifetime is not known are taken to live as long as the others.
        live = mean_ns * receives / duration_ns
        lines.append(f"{size},{receives * 1e9 / duration_ns:.6g},{live:.6g},{receives},{lifetimes},{mean_ns}")
    target.write_text("\n".join(lines) + "\n")
    return sum(receives for receives, _, _ in sizes.values())


def cost_ns() -> float:
    """What recording adds to one event, in ns of processor time; measured now, on one thread of two processes."""
    with tempfile.TemporaryDirectory(prefix="pybuf-") as scratch:
        kept = (name for name in os.environ if not name.startswith(("LD_", "PYBUF_RECORD")))
        plain = {name: os.environ[name] for name in kept}
        found: list[float] = []
        for env in (plain, environment(Path(scratch) / "calibration", False, False, plain)):
            done = subprocess.run(
                [sys.executable, "-P", "-c", "from pybuf.bench import record; record.print_pair_ns()"],
                env={**env, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}, capture_output=True, check=True,
            )
            found.append(json.loads(done.stdout))
    return max(0.0, (found[1] - found[0]) / 2)


def print_pair_ns() -> None:
    """Print the time of an allocation and its free, through the names that any program calls."""
    from pybuf.bench import _replay

    library = ctypes.CDLL(None)
    malloc, free, realloc = (
        ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in ("malloc", "free", "realloc"))
    words = array("Q", (word for size in (24, 100, 1500, 256) for word in (size << 28, 1))).tobytes()
    words *= _CALIBRATION_PAIRS // 4
    slots = bytearray(8)
    best = float("inf")
    for _ in range(_CALIBRATION_PASSES):
        began = time.process_time_ns()
        _replay.replay((malloc, free, realloc, None), words, slots, bytearray(), 0, len(words) // 8, "line", False)
        best = min(best, time.process_time_ns() - began)
    print(json.dumps(best / _CALIBRATION_PAIRS))
