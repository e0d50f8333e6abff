"""`python -m runner.cli.docs`: docs/commands.md, made from the commands themselves.

A test compares the file with what this prints: `python -m runner.cli.docs > docs/commands.md`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from runner.cli.common import global_options
from runner.cli.group import cli

_HEAD = """# Commands

Every command of `backfill` with its options. This page is made from the program:
`python -m runner.cli.docs > docs/commands.md`.

What a command prints on stdout is for you or for the next program; messages go to stderr. With
`--json` stdout holds one JSON document. Exit codes: [exit-codes.md](exit-codes.md).

## Options of every command

They may stand before the command's name or after it.
"""


def page() -> str:
    """The page, in Markdown."""
    root = click.Context(cli, info_name="backfill")
    parts = [_HEAD, _options(global_options(), root)]
    for path, ctx in commands(cli, root):
        parts.append(_section(path, ctx))
    return "\n".join(parts)


def commands(group: click.Group, ctx: click.Context) -> Iterator[tuple[str, click.Context]]:
    """Every command below this one, with its path, such as `embedded start`."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None:
            continue
        below = click.Context(command, info_name=name, parent=ctx)
        path = below.command_path.partition(" ")[2]
        yield path, below
        if isinstance(command, click.Group):
            yield from commands(command, below)


def own_parameters(command: click.Command) -> list[click.Parameter]:
    """The command's parameters without the global ones and those that are nobody's business."""
    common = {option.name for option in global_options()}
    return [
        param
        for param in command.params
        if param.name not in common and not getattr(param, "hidden", False)
    ]


def _section(path: str, ctx: click.Context) -> str:
    command = ctx.command
    usage = " ".join(command.collect_usage_pieces(ctx)).replace("[OPTIONS]", "[OPTION]...")
    depth = "##" if " " not in path else "###"
    parts = [f"{depth} backfill {path}\n", f"    backfill {path} {usage}".rstrip() + "\n"]
    parts.append(_prose(command.help or ""))
    parts.append(_options(own_parameters(command), ctx))
    return "\n".join(part for part in parts if part)


def _prose(text: str) -> str:
    """Click's help text in Markdown: what follows its mark for "as it stands" becomes code."""
    blocks = []
    for block in inspect.cleandoc(text).split("\n\n"):
        if block.startswith("\b"):
            lines = block.splitlines()[1:]
            blocks.append("\n".join(f"    {line}" for line in lines))
        else:
            blocks.append(block)
    return "\n\n".join(blocks) + "\n"


def _options(params: list[click.Parameter], ctx: click.Context) -> str:
    records = [param.get_help_record(ctx) for param in params if isinstance(param, click.Option)]
    rows = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in filter(None, records)]
    if not rows:
        return ""
    return "\n".join(["| option | |", "| --- | --- |", *rows]) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    click.echo(page(), nl=False)
