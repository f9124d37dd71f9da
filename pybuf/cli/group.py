"""The sub-commands of `pybuf`, each in the module of its name."""

from __future__ import annotations

import importlib

import click

#: Each is loaded when it is asked for: what one needs, another is not slowed by.
COMMANDS = ("bench", "replay", "record", "trace", "compare", "ras-run")


class Commands(click.Group):
    """Finds a sub-command in the module of its name."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Load the sub-command; None when there is none of that name."""
        if name not in COMMANDS:
            return None
        attribute = name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"pybuf.cli.{attribute}"), attribute)
        return command
