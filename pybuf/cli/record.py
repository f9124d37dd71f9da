"""`pybuf record`: run a program and write its allocations down."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.console import Console

from pybuf.bench import record as recorder
from pybuf.bench.children import name_of
from pybuf.cli import INTERRUPTED
from pybuf.cli.refusal import Refusal


@click.command(
    short_help="Record the allocations of a program.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-o", "file", metavar="FILE", type=click.Path(path_type=Path),
              help="What to write.  [default: the program's name, .pybuf, .memray or .sizes.csv]")
@click.option("--with", "recorder_name", type=click.Choice(["auto", "native", "memray"]), default="auto",
              show_default=True, help="auto takes memray for Python programs that have it, and else our own.")
@click.option("--sizes", "is_sizes", is_flag=True,
              help="Only a table of the sizes that arrive from sockets and pipes, and how long their buffers live.")
@click.option("--follow", "is_following", is_flag=True, help="Record children too, each to FILE.PID.")
def record(
    program: tuple[str, ...], file: Path | None, recorder_name: str, is_sizes: bool, is_following: bool
) -> None:
    """Run PROGRAM with its arguments and record every allocation, for `pybuf replay`, `trace` and `tune`.

    Our own recorder is preloaded into the program and writes thread, time, operation, size, alignment and
    address of every call of malloc and its kin, operator new included. The file can be read whatever ends
    the program, SIGKILL too. An allocator that is linked into the program, or brings its own operator new,
    is not seen; nor is what came before exec when a process becomes another program. memray records Python
    programs, without times. Objects of Python below 512 bytes come from its own arenas, and are seen only
    with PYTHONMALLOC=malloc in the environment.

    Where the disk is full, recording stops, the program goes on, and the summary says how many events are
    missing. What --sizes counts, and when a buffer's life ends, is defined in docs/trace-format.md.

    The exit status is 0 when something was recorded, whatever the program's own, which is printed; 2 when
    nothing could be; 130 after an interrupt.
    """
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        chosen = recorder.plan(program, recorder_name, is_sizes)
        if file is None:
            file = Path(chosen.name + recorder.SUFFIXES["sizes" if is_sizes else chosen.recorder])
        if chosen.why:
            notes.print(f"recording with our own recorder: {chosen.why}", markup=False)
        done = recorder.record(chosen, file, is_following, is_sizes)
    except recorder.RecordError as failure:
        raise Refusal(str(failure)) from None
    for line in _summary(done):
        notes.print(line, markup=False)
    if done.is_interrupted:
        sys.exit(INTERRUPTED)


def _summary(done: recorder.Recorded) -> list[str]:
    ended = f"was killed by {name_of(-done.status)}" if done.status < 0 else f"ended with status {done.status}"
    lines = [f"the program {ended} after {done.seconds:.2f} s"]
    if done.recorder == "memray":
        size = done.file.stat().st_size
        look = f"look at it with: pybuf trace info {done.file}"
        return [*lines, f"recorded with memray: {done.file}, {size:,} bytes; {look}"]
    for one in done.programs:
        header = one.header
        if done.receives is None:
            who = f"{header.program or '?'} (process {header.pid})"
            lines.append(f"{one.file}: {who}, {one.records:,} records, {_count(header.threads, 'thread')}")
        if header.images:
            lines.append(
                f"  it became another program, {_count(header.images, 'time')}; what it did before is not recorded")
        if header.error:
            lost = f"{header.refused:,} events are not recorded"
            lines.append(f"  RECORDING STOPPED: {os.strerror(header.error)}; {lost}")
    if done.receives is not None:
        lines.append(f"{done.file}: {_count(done.receives, 'receive')}")
    cost_ns = recorder.cost_ns()
    spent_s = sum(one.records for one in done.programs) * cost_ns / 1e9
    line = f"recording costs {cost_ns:.0f} ns an event, measured now on one thread"
    line += f": about {spent_s:.2f} s of the program's {done.cpu_s:.2f} s of processor time"
    if done.cpu_s > 1.05 * spent_s:
        line += f", which is {done.cpu_s / (done.cpu_s - spent_s):.2f} times what it takes without"
    return [*lines, line]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
