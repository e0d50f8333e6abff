"""Commands that the pages show can be typed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from runner.cli.common import Settings
from runner.cli.group import cli
from tests.docs.pages import Page, backfill_calls

PLACEHOLDERS = {"TASK": "quality_score", "RUN": "1", "URL": "http://127.0.0.1/"}
"""Words in capitals that stand for something of the reader's own."""

MEASURED = "docs/decisions/"
"""Speaks of the benchmarks' options, too."""

GENERATED = "docs/commands.md"
"""Made from the command tree itself; `tests/cli` compares it."""


def calls_in_blocks(page: Page) -> Iterator[list[str]]:
    """The arguments of each call of `backfill` in the page's blocks of code."""
    for block in page.blocks:
        for command in block.commands():
            for call in backfill_calls(command):
                yield [PLACEHOLDERS.get(word, word) for word in call]


def parse(arguments: list[str]) -> None:
    """Let click take the arguments as the program does; raises where it would."""
    try:
        with cli.make_context("backfill", list(arguments), obj=Settings()) as ctx:
            cli.invoke(ctx)
    except click.exceptions.Exit as ended:
        if ended.exit_code:  # 0 is --help or --version
            raise


def unknown_word(words: list[str]) -> str | None:
    """The first word of a call that is neither a command nor an option where it stands."""
    command: click.Command = cli
    ctx = click.Context(cli, info_name="backfill")
    options = {name for param in cli.params for name in param.opts} | {"--help"}
    for word in words:
        if word.startswith("-"):
            if word.partition("=")[0] not in options:
                return word
        elif isinstance(command, click.Group):
            below = command.get_command(ctx, word)
            if below is None:
                return word
            ctx = click.Context(below, parent=ctx, info_name=word)
            command = below
            options |= {
                name for param in below.params for name in [*param.opts, *param.secondary_opts]
            }
    return None


@pytest.mark.usefixtures("example_installed")
def test_commands_in_blocks_are_accepted(
    pages: list[Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `backfill ...` line of a block of code parses, values and ranges included."""
    monkeypatch.setattr(click.Command, "invoke", lambda *_: None)
    refused: list[str] = []
    count = 0
    for page in pages:
        if page.name == GENERATED:
            continue
        for call in calls_in_blocks(page):
            count += 1
            try:
                parse(call)
            except click.ClickException as error:
                refused.append(f"{page.name}: backfill {' '.join(call)}: {error.format_message()}")
    assert refused == []
    assert count > 15


@pytest.mark.usefixtures("example_installed")
def test_commands_in_sentences_are_known(pages: list[Page]) -> None:
    """Every `backfill ...` in a sentence names a command and options that there are."""
    wrong = []
    for page in pages:
        for code in page.inline:
            if re.match(r"backfill [a-z-]", code):
                words = [PLACEHOLDERS.get(word, word) for word in code.split()[1:]]
                word = unknown_word(words)
                if word is not None:
                    wrong.append(f"{page.name}: {code}: {word}")
    assert wrong == []


def test_options_in_sentences_are_known(pages: list[Page]) -> None:
    """Every `--option` that a sentence names by itself belongs to some command."""
    known: set[str] = set()
    ctx = click.Context(cli, info_name="backfill")
    pending: list[tuple[click.Command, click.Context]] = [(cli, ctx)]
    while pending:
        command, ctx = pending.pop()
        known |= {name for p in command.params for name in [*p.opts, *p.secondary_opts]}
        if isinstance(command, click.Group):
            for name in command.list_commands(ctx):
                below = command.get_command(ctx, name)
                assert below is not None
                pending.append((below, click.Context(below, parent=ctx, info_name=name)))
    named = {
        (page.name, option)
        for page in pages
        if not page.name.startswith(MEASURED)
        for code in page.inline
        for option in re.findall(r"^(--[a-z][a-z-]+)(?:[ =].*)?$", code)
    }
    assert sorted((page, option) for page, option in named if option not in known) == []
