"""`backfill run TASK --dry-run`: what a run would take, and nothing is changed."""

from __future__ import annotations

import json

import click

from runner.cli import summary
from runner.cli.cost_words import estimate_as_json, estimate_lines
from runner.cli.forecast import Forecast, forecast
from runner.cli.output import human
from runner.cli.run_options import RunOptions
from runner.contract import Settings, Task
from runner.errors import ExitCode
from runner.redaction import redact
from runner.units import duration

SHOWN_CHARACTERS = 100


def dry_run(conninfo: str, task: Task, options: RunOptions, settings: Settings) -> ExitCode:
    """Count what a run would take and show the first rows, the expected time and the cost."""
    expected = forecast(conninfo, task, options, settings)
    if options.json:
        _print_json(task.name, expected)
    else:
        _print_text(task.name, expected)
    return ExitCode.DONE


def _print_json(task: str, expected: Forecast) -> None:
    seconds = expected.seconds
    click.echo(
        json.dumps(
            {
                "task": task,
                "dry_run": True,
                "found": expected.found,
                "found_exact": expected.exact,
                "expected_s": None if seconds is None else round(seconds, 1),
                **estimate_as_json(expected.cost),
                "first_keys": [row["key"] for row in expected.first],
            }
        )
    )


def _print_text(task: str, expected: Forecast) -> None:
    click.echo(f"{task}: dry run, nothing is changed")
    if not expected.found:
        click.echo("nothing to do")
        return
    rows = summary.to_do({"found": expected.found, "found_exact": expected.exact})
    click.echo(f"{rows}; the first:")
    for row in expected.first:
        inputs = {
            name: _shown(name, value)
            for name, value in row["input"].items()
            if name not in ("key", "revision") and value is not None
        }
        text = json.dumps(inputs, ensure_ascii=False)
        shown = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
        click.echo(f"  {human(row['key'])}  {human(redact(shown))}")
    if expected.cost is not None:
        click.echo("expected:")
        for line in estimate_lines(expected.cost, expected.found, expected.seconds):
            click.echo(line)
    elif expected.seconds is not None:
        click.echo(f"expected time: at least {duration(expected.seconds)}")
    if expected.seconds is None:
        click.echo("expected time: not known before the first run; try one with --limit 10")


def _shown(name: str, value: object) -> object:
    """An input without addresses' query strings, which may hold signatures."""
    if isinstance(value, list):
        return [_shown(name, one) for one in value]
    if isinstance(value, dict):
        return {key: _shown(f"{name}.{key}", one) for key, one in value.items()}
    if isinstance(value, str) and "url" in name and "?" in value:
        return redact(value).partition("?")[0] + "?***"
    return value
