"""The command `pybuf`: one module per sub-command, whose docstring is its help."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; without the libraries it needs, say in one line how to install them."""
    try:
        import click

        from pybuf.cli.ras_run import ras_run
        from pybuf.cli.record import record
        from pybuf.cli.replay import replay
        from pybuf.cli.trace import trace
    except ModuleNotFoundError as missing:
        library = (missing.name or "").partition(".")[0]
        if library in ("click", "rich"):
            sys.exit(f"pybuf: the command needs {library}; install it with: pip install 'pybuf[cli]'")
        raise
    help_text = "Measure poolcore beside the allocators that a program would otherwise use."
    group = click.Group("pybuf", commands=[replay, record, trace, ras_run], help=help_text)
    click.version_option(package_name="pybuf")(group)
    group(prog_name="pybuf")
