"""`pybuf ras-run`: a custom script of RAS, against a real server."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from pybuf.cli.refusal import Refusal


def _server(_: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    host, _colon, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Refusal(f"--tcp {value}: expected HOST:PORT, such as localhost:2323")
    return host.strip("[]"), int(port)


@click.command("ras-run", short_help="Run a RAS custom script against a TCP server.")
@click.argument("library", type=click.Path(path_type=Path))
@click.option("--tcp", "server", metavar="HOST:PORT", required=True, callback=_server, help="The server.")
@click.option("--phonebook", default="", help="What the script is told of the phone book.")
@click.option("--entry", default="", help="What it is told of the entry in it.")
@click.option("--user", default="", help="The user name that it starts with.")
@click.option("--password", default="", envvar="PYBUF_RAS_PASSWORD", show_envvar=True,
              help="The password; better in the environment than on the command line.")
@click.option("--domain", default="", help="The domain that it starts with.")
@click.option("--timeout", type=click.FloatRange(min=0, max=1e9, min_open=True),
              help="Seconds that connecting may take, and after which the port is hung up.")
@click.option("--abi", type=click.Choice(["platform", "ms"]), default="platform", show_default=True,
              help="The calling convention of the library.")
def ras_run(
    library: Path, server: tuple[str, int], phonebook: str, entry: str, user: str, password: str, domain: str,
    timeout: float | None, abi: str,
) -> None:
    """Call RasCustomScriptExecute of LIBRARY, a shared library, over a connection to a server.

    Prints what it answered, the user name and domain that it left, and the buffers that it did not free. The exit
    status is 0 when it answered ERROR_SUCCESS, and 1 otherwise.
    """
    from pybuf import Machine, ras

    if not library.is_file():
        raise Refusal(f"{library}: there is no such file")
    if timeout is not None and math.isnan(timeout):
        raise Refusal("--timeout nan: expected seconds")
    machine = Machine()
    try:
        transport = ras.Tcp(*server, timeout=timeout)
    except UnicodeError:
        raise Refusal(f"--tcp {server[0]}:{server[1]}: this cannot be the name of a host") from None
    except OSError as failure:
        raise Refusal(f"--tcp {server[0]}:{server[1]}: {failure.strerror or failure}") from None
    try:
        result = ras.run_script(
            library.resolve(), port=machine.ras.open_port(transport), phonebook=phonebook, entry=entry, user_name=user,
            password=password, domain=domain, timeout=timeout, abi=abi)
    except OSError as failure:
        raise Refusal(f"{library}: {failure.strerror or failure}") from None
    except ValueError as failure:
        raise Refusal(str(failure)) from None
    finally:
        machine.close()
    click.echo(f"status     {result.status!s} ({int(result.status)})")
    click.echo(f"user name  {result.user_name}")
    click.echo(f"domain     {result.domain}")
    for block in result.unfreed:
        click.echo(f"not freed  {block.size} bytes at {block.address:#x}")
    sys.exit(1 if result.status else 0)
