"""`backfill token`: who may use the console and the HTTP API, and as what."""

from __future__ import annotations

import click

from runner.cli.common import json_option, open_session
from runner.cli.durations import Duration
from runner.cli.output import Column, emit_json, note, table
from runner.errors import ExitCode

ROLES = ("viewer", "operator", "admin")


@click.group()
def token() -> None:
    """Say who may use the console and the HTTP API.

    A viewer looks, an operator starts and steers runs, an admin also makes tokens and hooks.
    """


@token.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do.")
@click.option(
    "--expires",
    metavar="DURATION",
    type=Duration(),
    help="Refuse it after this time, e.g. 90d.  [default: never]",
)
@click.pass_context
def create(ctx: click.Context, name: str, role: str, expires: float | None) -> int:
    """Make the token NAME and print its secret, this once.

    The database keeps a hash of it. The audit names the token for whatever is done with it.
    """
    with open_session(ctx) as session:
        made = session.one("create_token", token=name, role=role, valid_s=expires)
    click.echo(made["secret"])
    note(f"the token {name} is made, as {role}; keep its secret, which nobody can be shown again")
    return ExitCode.DONE


@token.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> int:
    """Show the tokens.

    In psql: select * from backfill.tokens;
    """
    with open_session(ctx) as session:
        rows = session.call("tokens")
    if as_json:
        emit_json(rows)
    elif not rows:
        note("there is no token; make one with: backfill token create NAME --role viewer")
    else:
        table(
            rows,
            ["name", "role", "state", Column("created_by", "made by"), Column("created_at", "at"),
             Column("expires_at", "expires"), Column("last_used_at", "last used"), "sessions"],
        )  # fmt: skip
    return ExitCode.DONE


@token.command("revoke")
@click.argument("name")
@click.pass_context
def revoke(ctx: click.Context, name: str) -> int:
    """Refuse the token NAME from the next request on, and end its log-ins."""
    with open_session(ctx) as session:
        session.call("revoke_token", token=name)
    click.echo(f"{name} is revoked")
    return ExitCode.DONE
