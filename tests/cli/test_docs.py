"""The pages that are made from the program, or that promise to be complete."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from runner.cli.docs import commands, own_parameters, page
from runner.cli.group import cli
from runner.errors import ExitCode
from tests.plugins.database import Database

DOCS = Path(__file__).parents[2] / "docs"
PATHS = [path for path, _ in commands(cli, click.Context(cli, info_name="backfill"))]


def sections(text: str) -> dict[str, str]:
    """The page's sections by command."""
    parts = re.split(r"^#{2,3} backfill ", text, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part for part in parts}


@pytest.mark.parametrize("path", PATHS)
def test_command_is_documented(path: str) -> None:
    """docs/commands.md has each command as it is: python -m runner.cli.docs > docs/commands.md."""
    assert sections((DOCS / "commands.md").read_text())[path] == sections(page())[path]


def test_no_other_commands_are_documented() -> None:
    """A command that is gone is gone from the page."""
    assert list(sections((DOCS / "commands.md").read_text())) == PATHS


def test_every_option_has_help() -> None:
    """No option is left unexplained."""
    for path, ctx in commands(cli, click.Context(cli, info_name="backfill")):
        for param in own_parameters(ctx.command):
            assert not isinstance(param, click.Option) or param.help, f"{path} {param.name}"


def test_exit_codes_are_documented() -> None:
    """docs/exit-codes.md and the help's last lines have every exit code, and no other."""
    text = (DOCS / "exit-codes.md").read_text()
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert told == set(ExitCode)
    assert {int(code) for code in re.findall(r"\d+", cli.epilog or "")} == set(ExitCode)


@pytest.mark.parametrize(
    "query",
    [
        (
            "select relname from pg_class where relkind in ('r', 'v')"
            " and relnamespace = 'backfill'::regnamespace"
        ),
        "select distinct proname from pg_proc where pronamespace = 'backfill'::regnamespace",
        (
            "select attname from pg_attribute where attrelid = 'backfill.task'::regclass"
            " and attnum > 0 and not attisdropped"
        ),
        (
            "select attname from pg_attribute where attrelid = 'backfill.progress'::regclass"
            " and attnum > 0"
        ),
    ],
    ids=["tables and views", "functions", "knobs", "progress"],
)
def test_dba_page_is_complete(complete: Database, query: str) -> None:
    """Every table, view and function is named, and every knob; a task's own on the task's page."""
    pages = ("dba.md", "image-signals.md", "vehicle-images.md", "face-index.md")
    text = "".join((DOCS / page).read_text() for page in pages)
    names = [name for (name,) in complete.connect().execute(query.encode())]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_dba_page_names_the_scripts() -> None:
    """docs/dba.md names every script for psql."""
    text = (DOCS / "dba.md").read_text()
    scripts = (DOCS.parent / "sql" / "monitor").glob("*.sql")
    assert [path.name for path in scripts if path.name not in text] == []
