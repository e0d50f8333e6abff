"""`backfill budget`, `backfill spend`, and what `backfill status` says of money."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from runner.cli import cost_words
from runner.errors import ExitCode
from runner.web.pages import words
from tests.cli.conftest import Backfill
from tests.engine.roles import login
from tests.plugins.processes import SampleDatabase


@pytest.fixture
def money(sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    """`backfill` on a database with the sample task."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.loop.paid:task")
    return backfill


def spend(database: SampleDatabase) -> None:
    """Two days, three users and two kinds of calls; two calls without an answer; two runs."""
    database.do(
        "insert into backfill.spend_day (day, task, payer, provider, operation, region, calls, usd)"
        " values ('2026-01-01', 'sample', 'ann', 'rekognition', 'IndexFaces', '*', 300, 0.3),"
        " ('2026-01-02', 'sample', 'ann', 'rekognition', 'SearchFaces', '*', 1000, 1.0),"
        " ('2026-01-02', 'sample', 'bob', 'rekognition', 'SearchFaces', '*', 200, 0.2),"
        " ('2026-01-02', 'sample', '', '', '', '*', 4, 0.5)"
    )
    run = database.start()
    runner = database.one("select backfill.join_run(%s, 1, 'a-host', 1, true)", run)
    database.do("insert into backfill.run_cost values (%s, 'rekognition', 'A', '*', 7, 2)", runner)
    database.do("update backfill.runner set spend_usd = 0.25")


def test_amounts_are_shown_however_large_or_small() -> None:
    """On a terminal and on a page: a sign stands before the dollar, and no size is an error."""
    for shown in (cost_words.dollars, words.dollars):
        assert shown(Decimal("-4.99")) == "-$4.99"
        assert shown(Decimal("0.0008")) == "$0.0008"
        assert shown(Decimal(1234)) == "$1,234.00"
        assert shown(Decimal("1e300")).startswith("$1,000,000,")


# --- budget ---------------------------------------------------------------------------------------


def test_no_budget(money: Backfill) -> None:
    """It says so, and how to set one."""
    assert "no task has a budget; set one with: backfill budget TASK" in money("budget").err
    assert (
        "sample has no budget; set one with: backfill budget sample"
        in money("budget", "sample").err
    )


def test_budgets_are_set_shown_and_taken_away(money: Backfill, sampled: SampleDatabase) -> None:
    """In the database, with its event, exactly as typed."""
    sampled.do(
        "insert into backfill.spend_month values"
        " (backfill.utc_month(now()), 'rekognition', 'A', '*', 'sample', 9, 3.1)"
    )
    ended = money("budget", "sample", "--month", "25", "--total", "$1,000.005")
    assert ended.out.splitlines() == [
        "sample may spend $25.00 a month; $3.10 of it is gone, $21.90 left",
        "sample may spend $1,000.01 in total; $3.10 of it is gone, $996.91 left",
    ]
    assert sampled.one("select usd::text from backfill.task_budget where per = 'total'") == (
        "1000.005"
    )
    shown = money("budget").out.splitlines()
    assert [line.split() for line in shown] == [
        ["task", "per", "budget", "spent", "held", "unknown", "left"],
        ["sample", "month", "$25.00", "$3.10", "$0.00", "$0.00", "$21.90"],
        ["sample", "total", "$1,000.01", "$3.10", "$0.00", "$0.00", "$996.91"],
    ]
    (month, _) = money("budget", "sample", "--json").json
    assert (month["per"], month["usd"], month["left_usd"]) == ("month", 25, 21.9)
    ended = money("budget", "sample", "--none")
    assert ended.out == "sample has no budget any more; a run's own is its --max-cost\n"
    assert sampled.one("select count(*) from backfill.event where action = 'set_budget'") == 4


def test_a_budget_below_what_is_spent_leaves_nothing(
    money: Backfill, sampled: SampleDatabase
) -> None:
    """Not less than nothing."""
    sampled.do(
        "insert into backfill.spend_month values"
        " (backfill.utc_month(now()), 'rekognition', 'A', '*', 'sample', 9, 3.1)"
    )
    ended = money("budget", "sample", "--month", "0")
    assert ended.out == "sample may spend $0.00 a month; $3.10 of it is gone, $0.00 left\n"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--month", "3"), "say whose budget it is: backfill budget TASK"),
        (("sample", "--month", "3", "--none"), "--none can't be given with --month"),
        (("sample", "--month", "much"), "'much' is no amount in dollars, like 25 or 0.50"),
        (("sample", "--total", "-1"), "'-1' should be an amount from 0 on"),
        (("sample", "--total", "nan"), "'nan' should be an amount from 0 on"),
        (("nothing", "--total", "1"), "there is no task 'nothing'"),
    ],
)
def test_what_is_no_budget_is_refused(
    money: Backfill, sampled: SampleDatabase, arguments: tuple[str, ...], words: str
) -> None:
    """With words that say why, and nothing is set."""
    ended = money("budget", *arguments)
    assert (ended.code, len(ended.err.splitlines())) == (ExitCode.USAGE, 1)
    assert words in ended.err
    assert sampled.one("select count(*) from backfill.task_budget") == 0


def test_budgets_of_live_runs_are_shown_too(money: Backfill, sampled: SampleDatabase) -> None:
    """With their number."""
    sampled.do("select backfill.start('sample', '{\"max_cost\": 2}', p_source => 'cli')")
    assert money("budget").out.splitlines()[1].split()[:4] == ["sample", "run", "1", "$2.00"]


def test_who_may_look_may_not_set(
    money: Backfill, sampled: SampleDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader sees budgets, spend and the estimate; an operator sets budgets."""
    spend(sampled)
    sampled.items(ok=3)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.cli.paying:task")
    sampled.do("select backfill.set_budget('sample', 25)")
    with login(sampled.url, "backfill_reader") as conninfo:
        monkeypatch.setenv("DATABASE_URL", conninfo)
        assert "$25.00" in money("budget", "sample").out
        assert "$2.25 in all" in money("spend", "--by", "run").out
        assert "3 calls x $0.001" in money("run", "sample", "--dry-run", "--max-cost", "1").out
        refused = money("budget", "sample", "--none")
        assert (refused.code, "permission denied" in refused.err) == (ExitCode.ERROR, True)
    with login(sampled.url, "backfill_operator") as conninfo:
        monkeypatch.setenv("DATABASE_URL", conninfo)
        assert money("budget", "sample", "--none").code == ExitCode.DONE
    assert sampled.one("select count(*) from backfill.task_budget") == 0


# --- spend ----------------------------------------------------------------------------------------


def test_nothing_spent(money: Backfill) -> None:
    """It says so."""
    assert money("spend").err == "no task has spent anything yet\n"
    assert money("spend", "sample").err == "sample has spent nothing yet\n"


def test_spend_by_day(money: Backfill, sampled: SampleDatabase) -> None:
    """The last day first, by call; what results said they cost is among it."""
    spend(sampled)
    lines = [line.split() for line in money("spend").out.splitlines()]
    assert lines == [
        ["day", "task", "operation", "region", "calls", "spent"],
        ["2026-01-02", "sample", "SearchFaces", "*", "1,200", "$1.20"],
        ["2026-01-02", "sample", "(as", "results", "say)", "*", "4", "$0.50"],
        ["2026-01-01", "sample", "IndexFaces", "*", "300", "$0.30"],
        ["$2.00", "in", "all"],
    ]


def test_spend_by_user(money: Backfill, sampled: SampleDatabase) -> None:
    """The dearest first; a limit cuts the lines, not the total."""
    spend(sampled)
    ended = money("spend", "sample", "--by", "user", "--limit", "2")
    assert [line.split() for line in ended.out.splitlines()] == [
        ["user", "task", "calls", "spent"],
        ["ann", "sample", "1,300", "$1.30"],
        ["(nobody", "named)", "sample", "4", "$0.50"],
        ["$2.00", "in", "all"],
    ]
    assert ended.err == "and 1 line more; see them with --limit 0\n"
    assert len(money("spend", "--by", "user", "--limit", "0", "--json").json) == 3


def test_spend_by_run(money: Backfill, sampled: SampleDatabase) -> None:
    """Calls of each run that is still known."""
    spend(sampled)
    assert [line.split() for line in money("spend", "--by", "run").out.splitlines()] == [
        ["run", "task", "operation", "region", "calls", "spent"],
        ["1", "sample", "A", "*", "7", "$2.00"],
        ["1", "sample", "(as", "results", "say)", "*", "$0.25"],
        ["$2.25", "in", "all"],
    ]
    assert money("spend", "--by", "run", "--json").json[0] == {
        "run": 1, "task": "sample", "provider": "rekognition", "operation": "A", "region": "*",
        "calls": 7, "usd": 2, "open_calls": 0, "open_usd": 0,
    }  # fmt: skip


def test_spend_tells_calls_that_may_have_been_charged(
    money: Backfill, sampled: SampleDatabase, tmp_path: Path
) -> None:
    """Beside what was spent, until they are settled; by day, user and run."""
    sampled.items(lost=2)
    sampled.do("update backfill.task set backoff_base = '1 hour', backoff_max = '1 hour'")
    (tmp_path / "provider").mkdir()
    money("run", "sample", "--yes", "--folder", str(tmp_path / "provider"))
    for by, lines in (("day", 1), ("user", 2), ("run", 1)):
        ended = money("spend", "--by", by)
        shown = [line.split() for line in ended.out.splitlines()]
        assert shown[0][-4:] == ["spent", "unsettled", "may", "cost"]
        assert [row[-4] for row in shown[1 : 1 + lines]] == ["0"] * lines
        assert sum(int(row[-2]) for row in shown[1 : 1 + lines]) == 2
        assert "unsettled: calls that may have been charged" in ended.err


# --- status ---------------------------------------------------------------------------------------


def test_status_says_what_is_left(money: Backfill, sampled: SampleDatabase) -> None:
    """Of the task's budgets and of those of its live runs."""
    sampled.do("select backfill.start('sample', '{\"max_cost\": 2}', p_source => 'cli')")
    sampled.do("select backfill.set_budget('sample', 25)")
    assert "  budget     $25.00 of $25.00 a month left; $2.00 of $2.00 of run 1 left" in (
        money("status").out
    )
    assert [row["per"] for row in money("status", "--json").json["budgets"]] == ["month", "run"]
