"""How every sub-command says that it cannot use what it was given."""

from __future__ import annotations

import click


class Refusal(click.ClickException):
    """What was given cannot be used: one line, and the status of a wrong command line."""

    exit_code = 2
