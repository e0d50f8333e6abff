"""Nobody's money is spent unasked, and what is spent is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from runner.errors import ExitCode
from tests.cli.conftest import Backfill, Ended
from tests.plugins.processes import SampleDatabase


@pytest.fixture
def guess(sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    """`backfill` on a database with four rows of a task that costs $0.25 a row."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:paid")
    sampled.items(ok=4)
    return backfill


class Paying:
    """`backfill run sample`, whose rows call a provider at $0.001."""

    def __init__(self, backfill: Backfill, database: SampleDatabase, folder: Path) -> None:
        self.backfill = backfill
        self.database = database
        self._folder = str(folder)

    def __call__(self, *arguments: str, answer: str = "") -> Ended:
        """Run it."""
        return self.backfill("run", "sample", "--folder", self._folder, *arguments, answer=answer)

    def expected(self, *arguments: str) -> list[str]:
        """What a dry run expects."""
        lines = self("--dry-run", *arguments).out.splitlines()
        return lines[lines.index("expected:") + 1 :]


@pytest.fixture
def paying(
    sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Paying:
    """See `Paying`."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.cli.paying:task")
    folder = tmp_path / "provider"
    folder.mkdir()
    return Paying(backfill, sampled, folder)


# --- the question ---------------------------------------------------------------------------------


def test_question_tells_count_and_cost(guess: Backfill, sampled: SampleDatabase) -> None:
    """Before paid work the user is asked, and a no leaves everything as it was."""
    ended = guess("run", "sample", answer="n\n")
    assert ended.code == ExitCode.CANCELLED
    assert ended.err.splitlines() == [
        "sample: 4 rows to do, expected:",
        "  Guess  4 calls x $0.25 = $1.00",
        "go ahead? [y/N]: nothing was changed",
    ]
    assert sampled.one("select count(*) from backfill.run") == 0


def test_yes_goes_ahead(guess: Backfill, sampled: SampleDatabase) -> None:
    """A yes runs the task."""
    assert guess("run", "sample", answer="y\n").code == ExitCode.DONE
    assert sampled.states() == {"ok": 4}


@pytest.mark.parametrize("flag", ["--yes", "--skip-prompt"])
def test_flag_answers_beforehand(guess: Backfill, sampled: SampleDatabase, flag: str) -> None:
    """With the flag nothing is asked, nor estimated for nobody to read."""
    ended = guess("run", "sample", flag)
    assert (ended.code, "go ahead" in ended.err) == (ExitCode.DONE, False)
    assert "expected" not in ended.err
    assert sampled.states() == {"ok": 4}


def test_nobody_to_ask(guess: Backfill, sampled: SampleDatabase) -> None:
    """Without a terminal and without the flag nothing is spent, and the error says what to do."""
    ended = guess("run", "sample")
    assert ended.code == ExitCode.USAGE
    assert "pass --yes" in ended.err
    assert sampled.states() == {}


def test_nothing_is_asked_where_it_costs_nothing(paying: Paying) -> None:
    """Calls whose price is 0 are no reason for a question."""
    paying.database.items(ok=2)
    paying.database.do("update backfill.price set usd = 0")
    ended = paying()
    assert (ended.code, "expected" in ended.err) == (ExitCode.DONE, False)


def test_limit_lowers_the_cost(guess: Backfill) -> None:
    """A dry run tells the cost of what the run would take."""
    ended = guess("run", "sample", "--dry-run", "--limit", "2")
    assert "  Guess  2 calls x $0.25 = $0.50" in ended.out


# --- the estimate ---------------------------------------------------------------------------------


def test_estimate_is_by_a_sample_of_the_rows(paying: Paying) -> None:
    """Calls by operation at their price, what they come to, and the time at the shared rate."""
    paying.database.items(slow=1, ok=9)
    assert paying.expected() == [
        "  IndexFaces   10 calls x $0.001 = $0.01",
        "  SearchFaces  3 calls x $0.001 = $0.003  (1 of 4 are slow)",
        "  total        about $0.01",
        "  time         at least 2.6s (13 calls at 5 a second)",
    ]


def test_estimate_is_not_by_the_first_rows_alone(paying: Paying) -> None:
    """These are begun where a budget stopped an earlier run."""
    paying.database.items(slow=10, ok=30)
    assert paying.expected()[1].endswith("(1 of 4 are slow)")
    assert paying.expected("--limit", "20")[1].endswith("(2 of 4 are slow)")
    assert paying.expected("--limit", "3")[1].endswith("(3 of 3 are slow)")


def test_estimate_as_json(paying: Paying) -> None:
    """The same as numbers."""
    paying.database.items(ok=10)
    found = paying("--dry-run", "--json", "--max-cost", "0.02").json
    assert found["expected_usd"] == 0.03
    assert found["expected_s"] == 6.0
    assert found["expected_calls"][1] == {
        "provider": "rekognition", "operation": "SearchFaces", "region": "*", "calls": 20,
        "usd": 0.02, "basis": "assumed",
    }  # fmt: skip
    assert found["budgets"] == [{"per": "run", "usd": 0.02, "left_usd": 0.02}]


def test_a_set_rate_is_what_the_time_is_judged_by(paying: Paying) -> None:
    """Not the one that throttling lowered it to; without the rate the time is not known."""
    paying.database.items(ok=10)
    paying.database.do("select backfill.set_rate('rekognition', 10)")
    paying.database.do("update backfill.rate_limit set slowed_to = 1 where name = 'rekognition'")
    assert paying.expected()[-1] == "  time         at least 3s (30 calls at 10 a second)"
    paying.database.do("delete from backfill.rate_limit where name = 'rekognition'")
    assert paying.expected()[-1].startswith("expected time: not known before the first run")


def test_estimate_says_what_budgets_have_left(paying: Paying) -> None:
    """The run's own and its task's, and for how many rows the least of them is enough."""
    paying.database.items(ok=10)
    paying.database.do("select backfill.set_budget('sample', 1000, 'total')")
    assert paying.expected("--max-cost", "0.015")[3:6] == [
        "  budget       $0.02 for this run",
        "  budget       $1,000.00 in total, of which $1,000.00 is left",
        "               enough for about 5 of 10 rows; then it stops",
    ]
    assert not any("enough" in line for line in paying.expected("--max-cost", "0.03"))


def test_estimate_without_a_price_says_how_to_set_it(paying: Paying) -> None:
    """And a run of it stops at the first call, with the same words."""
    paying.database.items(ok=2)
    paying.database.do("delete from backfill.price where operation = 'IndexFaces'")
    expected = paying.expected()
    assert expected[0] == (
        "  IndexFaces   2 calls, for which no price is set, and the first ends the run; "
        "set it: select backfill.set_price('rekognition', 'IndexFaces', 0.001)"
    )
    assert not any("total" in line for line in expected)
    ended = paying("--yes")
    assert ended.code == ExitCode.ERROR
    assert "there is no price of rekognition IndexFaces; set it: select backfill.set_" in ended.err
    paying.database.do("select backfill.set_price('rekognition', 'IndexFaces', 0.001)")
    assert paying("--yes").code == ExitCode.DONE


def test_estimate_through_the_tiers_names_no_price(paying: Paying) -> None:
    """Where calls of one run have different prices."""
    paying.database.items(ok=3)
    paying.database.do("select backfill.set_price('rekognition', 'IndexFaces', 0.0005, 2)")
    assert paying.expected()[0] == "  IndexFaces   3 calls = $0.0025"


def test_estimate_says_whose_price_it_takes(
    paying: Paying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prices are installed for one region, and stand in for the others until somebody sets one."""
    paying.database.items(ok=2)
    set_price = "select backfill.set_price('rekognition', 'IndexFaces', {}, 0, 'eu-central-1')"
    monkeypatch.setattr("tests.cli.paying.REGION", "us-east-1")
    assert not any("price  " in line for line in paying.expected())
    monkeypatch.setattr("tests.cli.paying.REGION", "eu-central-1")
    line = f"  price        that of us-east-1; if it is another: {set_price.format('0.001')}"
    assert line in paying.expected()
    paying.database.do(set_price.format("0.0012"))
    paying.database.do("select backfill.set_price('rekognition', 'SearchFaces', 0.001)")
    expected = paying.expected()
    assert expected[0] == "  IndexFaces   2 calls x $0.0012 = $0.0024"
    assert not any("price  " in line for line in expected)


def test_earlier_runs_are_better_than_an_assumption(paying: Paying) -> None:
    """Calls of runs that paid, by rows that these brought to an end; others don't count."""
    paying.database.items(ok=4, fail=1)
    assert paying("--yes").code == ExitCode.DONE
    paying.database.do(
        "insert into backfill.run_cost select id, 'rekognition', 'SearchFaces', '*', 10, 0.010"
        " from backfill.runner"
    )
    paying.database.do("insert into item (id) select generate_series(11, 20)")
    assert paying.expected()[1] == (
        "  SearchFaces  20 calls x $0.001 = $0.02  (2 a row in earlier runs: 10 for 5 rows)"
    )
    paying.database.do("delete from item where id <= 12; insert into item values (1, 'slow')")
    assert paying.expected()[1].endswith("(1 of 4 are slow)")


def test_no_paid_call_is_made_for_an_estimate(paying: Paying) -> None:
    """Whoever is asked and says no has paid for nothing."""
    paying.database.items(ok=3)
    assert paying(answer="n\n").code == ExitCode.CANCELLED
    assert paying.database.one("select count(*) from backfill.effect") == 0


# --- the summary ----------------------------------------------------------------------------------


def test_summary_says_what_was_spent(paying: Paying) -> None:
    """By operation, and in all; a run that spent nothing doesn't speak of it."""
    paying.database.items(ok=12)
    ended = paying("--yes")
    assert ended.out.splitlines()[-2:] == [
        "  IndexFaces     12 calls x $0.001 = $0.01",
        "  spent          $0.01",
    ]
    assert "spent" not in paying("--yes").out


def test_summary_as_json_has_the_costs(paying: Paying) -> None:
    """Numbers by call."""
    paying.database.items(ok=3)
    found = paying("--yes", "--json").json
    assert found["costs"] == [
        {
            "provider": "rekognition", "operation": "IndexFaces", "region": "*", "calls": 3,
            "open_calls": 0, "usd": 0.003, "open_usd": 0.0,
        }
    ]  # fmt: skip
    assert found["spend_usd"] == 0.003


def test_summary_tells_calls_that_may_have_been_charged(paying: Paying) -> None:
    """Whose answer was lost: they stand beside what was spent until they are settled."""
    paying.database.items(lost=1)
    paying.database.do("update backfill.task set backoff_base = '1 hour', backoff_max = '1 hour'")
    ended = paying("--yes")
    assert "  unsettled      1 call that may have been charged, $0.001" in ended.out
    assert "  spent " not in ended.out


def test_a_run_that_its_own_budget_ended_says_so(paying: Paying) -> None:
    """How much it was, what was spent, and that another run has a budget of its own."""
    paying.database.items(ok=9)
    ended = paying("--yes", "--max-cost", "0.005")
    assert ended.code == ExitCode.DONE
    lines = ended.out.splitlines()
    assert lines[0] == "sample: run 1 stopped: its budget of $0.005 (--max-cost) is used up"
    assert lines[-2] == "  spent          $0.005"
    assert lines[-1] == (
        "go on with another run, which has a budget of its own: "
        "backfill run sample --max-cost 0.005"
    )


def test_a_run_that_its_task_s_budget_ended_says_how_to_raise_it(paying: Paying) -> None:
    """With a command that works."""
    paying.database.items(ok=9)
    paying.database.do("select backfill.set_budget('sample', 0.005)")
    lines = paying("--yes").out.splitlines()
    assert lines[0] == ("sample: run 1 stopped: the task's budget of $0.005 a month is used up")
    raised = "backfill budget sample --month 0.01"
    assert lines[-1] == f"raise it with: {raised}; then go on with: backfill run sample"
    assert paying.backfill(*raised.split()[1:]).code == ExitCode.DONE
    assert paying("--yes").code == ExitCode.DONE
    assert paying.database.one("select sum(usd) from backfill.spend") == Decimal("0.009")


def test_a_task_s_own_lines_are_in_the_summary(paying: Paying) -> None:
    """Amounts among the figures, and what a person has to do at the end, unless it is nothing."""
    paying.database.items(ok=1)
    paying.database.do(
        "create function backfill.summary_sample(p_run bigint)"
        " returns table (name text, amount numeric, next_step text) language sql stable as"
        " $$ values ('distinct people who own them', 1200, null::text),"
        " ('faces need a person', 143 + p_run, 'backfill faces review'),"
        " ('nobody knows', 0, null), ('nothing to do', 0, 'backfill nothing') $$"
    )
    ended = paying("--yes")
    lines = ended.out.splitlines()
    assert "  distinct people who own them 1,200" in lines
    assert lines[-1] == "144 faces need a person: backfill faces review"
    paying.database.items(ok=1)
    found = paying("--yes", "--json").json
    assert found["figures"] == {"distinct people who own them": 1200}
    assert found["next_steps"] == [
        {"name": "faces need a person", "amount": 145, "command": "backfill faces review"}
    ]
