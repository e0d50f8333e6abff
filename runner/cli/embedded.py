"""`backfill embedded`: a PostgreSQL of one's own, for the demo and for trying things out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.common import json_option
from runner.cli.output import emit_json, note, pairs
from runner.errors import BackfillError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.embedded import EmbeddedServer


def _folder_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--dir",
        "folder",
        metavar="FOLDER",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where its files are; by default $BACKFILL_EMBEDDED_DIR, or the user's data folder.",
    )(command)


@click.group()
def embedded() -> None:
    """A PostgreSQL of your own to try things out.

    It listens on a socket that only you can reach, and stays until it is stopped.

    \b
    backfill embedded start
    export DATABASE_URL="$(backfill embedded url)"
    """


@embedded.command()
@_folder_option
def start(folder: Path | None) -> int:
    """Start it, and print its URL; its data are made at the first start."""
    server = _server(folder)
    server.start()
    click.echo(server.url())
    note('next: export DATABASE_URL="$(backfill embedded url)"')
    return ExitCode.DONE


@embedded.command()
@_folder_option
def stop(folder: Path | None) -> int:
    """Stop it, cutting its connections; its data stay."""
    server = _server(folder)
    was_running = server.running
    server.stop()
    click.echo("stopped" if was_running else "it was not running")
    return ExitCode.DONE


@embedded.command()
@_folder_option
@json_option
def status(folder: Path | None, as_json: bool) -> int:
    """Say whether it runs, and where its files are. The exit code is 0 either way."""
    server = _server(folder)
    pid = server.pid
    found = {
        "running": pid is not None,
        "pid": pid,
        "url": server.url() if pid is not None else None,
        "folder": str(server.data_dir),
        "log": str(server.log_path),
    }
    if as_json:
        emit_json(found)
    else:
        pairs({**found, "pid": str(pid) if pid else None})
    return ExitCode.DONE


@embedded.command()
@_folder_option
def url(folder: Path | None) -> int:
    """Print the URL of the running server: export DATABASE_URL="$(backfill embedded url)"."""
    server = _server(folder)
    if not server.running:
        raise BackfillError("the embedded server is not running; start it: backfill embedded start")
    click.echo(server.url())
    return ExitCode.DONE


def _server(folder: Path | None) -> EmbeddedServer:
    from runner.embedded import EmbeddedServer, default_data_dir

    return EmbeddedServer(folder or default_data_dir(), detached=True)
