"""The command `pybuf`: one module per sub-command, whose docstring is its help."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any

#: Status of a run that Ctrl-C ended, as of any program.
INTERRUPTED = 130


def main() -> None:
    """Run the command; without the libraries it needs, say in one line how to install them."""
    _open_closed_streams()
    try:
        import click

        from pybuf.cli.group import Commands

        importlib.import_module("rich")
    except ModuleNotFoundError as missing:
        library = (missing.name or "").partition(".")[0]
        sys.exit(f"pybuf: the command needs {library}; install it with: pip install 'pybuf[cli]'")

    group = Commands("pybuf", help="Measure poolcore beside the allocators that a program would otherwise use.")
    click.version_option(package_name="pybuf")(group)
    status: Any = 0
    try:
        status = group.main(prog_name="pybuf", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as nothing:
        nothing.show()
        status = nothing.exit_code
    except click.ClickException as refused:
        # One line, as of every other input that cannot be used: without the usage that click puts before it.
        click.echo(f"Error: {refused.format_message()}", err=True)
        status = refused.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except OSError as failure:
        if failure.filename is not None or failure.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # What is left in the buffer would be tried again at the end, and fail again.
        sys.stdout = None
        if failure.errno == errno.ENOSPC:
            print(f"Error: standard output: {failure.strerror}", file=sys.stderr)
        status = 2 if failure.errno == errno.ENOSPC else 1
    sys.exit(status or 0)


def _open_closed_streams() -> None:
    """Have what was closed (``>&-``) lead nowhere: else the next file that is opened would be standard output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w", closefd=False))  # noqa: SIM115 (open as long as the process is)
