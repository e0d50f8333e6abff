"""Options of `backfill run` and a task's own: limits, conditions, and how they are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from runner.cli.run_options import RunOptions, common_options, complete, task_option
from runner.contract import Option, Task
from runner.errors import UsageError
from tests import sample
from tests.cli.conftest import Backfill
from tests.plugins.processes import SampleDatabase, StartRun

NARROWED = "tests.sample:narrowed"


@pytest.fixture
def narrowed(
    sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> Backfill:
    """`backfill` in this process, with a task that has a condition, a default limit and a price."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", NARROWED)
    return backfill


def given(**options: Any) -> RunOptions:
    """Options as if nothing else were given."""
    plain = RunOptions(
        dry_run=False, resume=False, batch_size=None, delay=None, limit=None, where=None,
        max_duration=None, workers=1, threads=None, grace=30.0, patience=300.0,
        exit_on_pause=False, join=None, yes=False, json=False, child=None,
    )  # fmt: skip
    return replace(plain, **options)


def done(sampled: SampleDatabase) -> list[int]:
    """Items that have a result."""
    rows = sampled.all("select id from item where result is not null order by id")
    return [row["id"] for row in rows]


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "of_task, limit, expected",
    [(None, None, None), (None, 0, None), (None, 7, 7), (3, None, 3), (3, 0, None), (3, 7, 7)],
)
def test_the_limit_is_what_was_given_or_the_task_s(
    of_task: int | None, limit: int | None, expected: int | None
) -> None:
    """0 lifts a limit that the task has."""
    task = replace(sample.task, pacing=replace(sample.task.pacing, limit=of_task))
    assert complete(task, given(limit=limit), {})[0].limit == expected


@pytest.mark.parametrize("limit, each", [(None, 3), (7, 7), (0, None)])
def test_the_limit_of_each_group_is_among_the_stored_options(
    limit: int | None, each: int | None
) -> None:
    """A task that limits by a column has no limit of the whole run; 0 lifts its own."""
    pacing = replace(sample.task.pacing, limit=3, limit_by="input")
    task = replace(sample.task, pacing=pacing)
    options, settings = complete(task, given(limit=limit), {"folder": "x"})
    assert options.limit is None
    stored = {} if each is None else {"limit_by": "input", "limit_each": each}
    assert settings == {"folder": "x", **stored}
    (flag,) = (o for o in common_options(task) if o.name == "limit")
    assert isinstance(flag, click.Option)
    assert flag.help == "Most rows of each input, all processes together; 0: no limit."


def test_a_dry_run_knows_the_limit_of_each_group(
    sampled: SampleDatabase, narrowed: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts and shows the rows that the run would take."""
    monkeypatch.setenv("BACKFILL_TASKS", "tests.loop.limited:task")
    sampled.items(ok=10)
    sampled.do("update item set input = 'b' where id > 4")
    ended = narrowed("run", "sample", "--dry-run", "--limit", "3", "--json")
    assert (ended.code, ended.json["found"]) == (0, 6), ended.err
    assert ended.json["first_keys"] == ["1", "2", "3", "5", "6"]
    assert narrowed("run", "sample", "--dry-run", "--limit", "0", "--json").json["found"] == 10


def test_a_task_s_own_limit(sampled: SampleDatabase, narrowed: Backfill) -> None:
    """A run without --limit takes so many rows, says why it stopped and what to type."""
    sampled.items(ok=10)
    ended = narrowed("run", "sample", "--yes")
    assert ended.code == 0, ended.err
    assert "sample: run 1 stopped at its limit" in ended.out
    assert "go on with: backfill run sample" in ended.out
    assert done(sampled) == [1, 2, 3]
    assert sampled.one("select max_jobs from backfill.run") == 3


def test_limit_0_is_no_limit(sampled: SampleDatabase, narrowed: Backfill) -> None:
    """All rows are done, as if the task had none."""
    sampled.items(ok=10)
    ended = narrowed("run", "sample", "--yes", "--limit", "0", "--json")
    assert (ended.code, ended.json["exit_reason"]) == (0, "done")
    sampled.assert_each_written_once()


def test_help_shows_the_limit_that_holds(narrowed: Backfill) -> None:
    """The task's own as the default."""
    text = " ".join(narrowed("run", "sample", "--help").out.split())
    assert "Most rows, all processes together; 0: no limit. [default: (3); x>=0]" in text


def test_a_task_s_own_limit_is_no_obstacle_to_joining(
    sampled: SampleDatabase, run_sample: StartRun, let_go: Callable[[], None]
) -> None:
    """--join works for the run as it was started: neither limit nor condition is taken anew."""
    sampled.items(wait=12)
    begun = ("--yes", "--limit", "0", "--up-to", "10", "--batch-size", "2", "--threads", "2")
    first = run_sample(sampled, *begun, tasks=NARROWED)
    first.until(lambda: len(sampled.live()) == 1)
    second = run_sample(sampled, "--join", "1", "--json", tasks=NARROWED)
    second.until(lambda: len(sampled.live()) == 2)
    let_go()
    assert (second.ended(), first.ended()) == (0, 0), second.err
    assert done(sampled) == list(range(1, 11))
    assert sampled.one("select count(*) from backfill.run") == 1


@pytest.mark.parametrize("option", ["limit", "delay"])
def test_a_0_is_an_option_that_was_given(
    sampled: SampleDatabase, narrowed: Backfill, option: str
) -> None:
    """With --join it is refused like any other number."""
    sampled.start()
    ended = narrowed("run", "sample", "--join", "1", f"--{option}", "0")
    assert ended.code == 2
    assert f"--{option} can't be given with --join" in ended.err


# --- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where, keys",
    [
        (None, [1, 2, 3, 4, 5]),
        ("native_key >= 4 -- the last", [4, 5]),
        ("native_key = 1 or native_key = 9", [1]),
        ("  ", [1, 2, 3, 4, 5]),
    ],
)
def test_a_task_s_condition_and_the_user_s(
    sampled: SampleDatabase, narrowed: Backfill, where: str | None, keys: list[int]
) -> None:
    """Both hold, whichever ends in a comment or has an `or`; the dry run says the same."""
    sampled.items(ok=10)
    arguments = ["run", "sample", "--limit", "0", "--json", "--yes", "--up-to", "5"]
    if where is not None:
        arguments += ["--where", where]
    looked = narrowed(*arguments, "--dry-run")
    assert looked.code == 0, looked.err
    assert looked.json["found"] == len(keys)
    assert looked.json["first_keys"] == [str(key) for key in keys]
    assert looked.json["expected_usd"] == 0.25 * len(keys)
    ended = narrowed(*arguments)
    assert ended.code == 0, ended.err
    assert ended.json["found"] == len(keys)
    assert done(sampled) == keys


def test_without_the_option_there_is_no_condition(
    sampled: SampleDatabase, narrowed: Backfill
) -> None:
    """A condition of None leaves --where as it was typed."""
    sampled.items(ok=10)
    ended = narrowed("run", "sample", "--yes", "--where", "native_key > 8")
    assert ended.code == 0, ended.err
    assert done(sampled) == [9, 10]
    assert sampled.one("select where_sql from backfill.run") == "native_key > 8"
    assert complete(sample.narrowed, given(), {"up_to": None})[0].where is None


def test_a_dry_run_and_the_question_know_the_task_s_limit(
    sampled: SampleDatabase, narrowed: Backfill
) -> None:
    """Rows and cost are those of the run that would be started."""
    sampled.items(ok=10)
    looked = narrowed("run", "sample", "--dry-run")
    assert "3 rows to do; the first:" in looked.out
    assert "3 calls x $0.25 = $0.75" in looked.out
    assert looked.out.count('{"input"') == 3
    asked = narrowed("run", "sample", "--up-to", "2", answer="n\n")
    assert asked.code == 6
    assert "sample: 2 rows to do" in asked.err
    assert "2 calls x $0.25 = $0.50" in asked.err
    assert sampled.one("select count(*) from backfill.run") == 0


def test_a_bad_condition_beside_the_task_s_is_a_usage_error(
    sampled: SampleDatabase, narrowed: Backfill
) -> None:
    """One line, and nothing was started."""
    sampled.items(ok=1)
    ended = narrowed("run", "sample", "--yes", "--up-to", "5", "--where", "nonsense = 1")
    assert ended.code == 2
    assert 'column "nonsense" does not exist' in ended.err
    assert "Traceback" not in ended.err
    assert sampled.one("select count(*) from backfill.run") == 0


# --- stored options -------------------------------------------------------------------------------


def parsed(option: Option, *arguments: str) -> Any:
    """What click makes of this option; the error's words where it refuses."""
    found: list[Any] = []
    command = click.Command(
        "x", callback=lambda **all_: found.append(all_), params=[task_option(option)]
    )
    result = CliRunner().invoke(command, arguments)
    return found[0][option.name] if found else result.output


def _lower(value: str) -> str:
    if not value.isalpha():
        raise UsageError(f"{value} is no word")
    return value.lower()


def test_a_string_is_stored_as_the_task_says() -> None:
    """What was typed and the default alike; None stays None."""
    option = Option("word", "a word", default="THERE", stored_as=_lower)
    assert parsed(option, "--word", "HERE") == "here"
    assert parsed(option) == "there"
    assert parsed(replace(option, default=None)) is None


def test_what_can_not_be_stored_is_a_usage_error() -> None:
    """It names the option and says why."""
    said = parsed(Option("word", "a word", stored_as=_lower), "--word", "4711")
    assert "Invalid value for '--word': 4711 is no word" in said


def test_a_path_means_the_same_to_every_process(
    sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The run keeps what the option was made into where it was typed."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.cli.test_run_options:placed")
    sampled.items(flaky=2)
    ended = backfill("run", "sample", "--folder", ".")
    assert ended.code == 0, ended.err
    assert sampled.one("select options ->> 'folder' from backfill.run") == str(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def _absolute(value: str) -> str:
    return str(Path(value).resolve())


def _placed(folder: Callable[[str], str]) -> Task:
    option = Option("folder", "Where first attempts are noted.", default=".", stored_as=folder)
    return replace(sample.task, options=(option,))


placed = _placed(_absolute)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_an_option_s_number_is_one(value: str) -> None:
    """What is no number is told where it is typed, whether or not the option has a range."""
    for least in (None, 0.1):
        spend = task_option(Option("max_cost", "dollars", kind=float, minimum=least))
        ended = CliRunner().invoke(click.Command("run", params=[spend]), [f"--max-cost={value}"])
        assert ended.exit_code == 2
        assert "--max-cost" in ended.output
