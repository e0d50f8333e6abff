"""What a run's rows add up to, in its summary; and figures that can't be counted."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from runner.cli import summary
from runner.cli.figures import SHOWN_THINGS, figures_as_json, plain_figures, tables
from runner.cli.output import table
from runner.contract import Result, Row
from runner.errors import Figure, NothingFound, Permanent, Retry, RowOutcome, Skip
from runner.units import size
from tests.plugins.processes import SampleDatabase, StartRun, result_of

METERED = "tests.sample:metered"


def figure(name: str, amount: float | str, label: str = "") -> dict[str, Any]:
    """A row of backfill.run_figures."""
    return {"name": name, "amount": Decimal(str(amount)), "label": label}


def printed(capsys: pytest.CaptureFixture[str], figures: list[dict[str, Any]]) -> list[list[str]]:
    """The words of each line of the tables."""
    for rows, columns in tables(figures):
        table(rows, columns)
    return [line.split() for line in capsys.readouterr().out.splitlines()]


# --- in a run's summary ---------------------------------------------------------------------------


def test_a_run_says_what_its_rows_add_up_to(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """Plain figures stand below the others, and those of things in a table, the most first."""
    sampled.items(spends=3, ok=2)
    command = run_sample(sampled, tasks=METERED)
    assert command.ended() == 0, command.err
    lines = command.out.splitlines()
    assert lines[0] == "sample: run 1 is done"
    assert lines[-5:] == [
        "  bytes          300 bytes",
        "",
        "host       stored  bytes",
        "odd.test        2  200 bytes",
        "even.test       1  100 bytes",
    ]


def test_json_has_figures_as_numbers(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """--json has them by name, and by kind and thing."""
    sampled.items(spends=3)
    command = run_sample(sampled, "--json", tasks=METERED)
    assert command.ended() == 0, command.err
    assert command.json["figures"] == {"bytes": 300}
    assert command.json["by_host"] == {
        "odd.test": {"bytes": 200, "stored": 2}, "even.test": {"bytes": 100, "stored": 1},
    }  # fmt: skip


def test_a_run_without_figures_prints_none(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """Its summary ends with the usual numbers."""
    sampled.items(ok=3)
    command = run_sample(sampled, tasks=METERED)
    assert command.ended() == 0, command.err
    words = [line.split("  ")[1] for line in command.out.splitlines()[1:]]
    assert words == ["total", "processed", "succeeded", "failed", "elapsed", "average"]


def _behaving(row: Row) -> Result | dict[str, Any]:
    """Each kind of end, each saying the figure `tried`."""
    one = (Figure("tried", 1),)
    endings: dict[str, RowOutcome] = {
        "skip": Skip("x"), "nothing": NothingFound("x"), "fail": Permanent("x", code="gone"),
        "flaky": Retry("x", code="later"), "throttled": Retry("x", code="later", counts=False),
    }  # fmt: skip
    ending = endings.get(row["behaviour"])
    if ending is None or row["key"] in _SEEN:
        return Result(result_of(row), figures=one)
    if row["behaviour"] in ("flaky", "throttled"):
        _SEEN.add(row["key"])
    ending.figures = one
    raise ending


_SEEN: set[str] = set()


def test_figures_count_whatever_became_of_the_row(sampled: SampleDatabase) -> None:
    """Skipped, nothing found, failed, and both attempts of what was tried again."""
    _SEEN.clear()
    sampled.items(ok=2, skip=1, nothing=1, fail=1, flaky=1, throttled=1)
    assert sampled.process(sampled.start(), _behaving).work() == "done"
    assert sampled.one("select amount from backfill.run_figures") == 9
    assert sampled.states() == {"ok": 4, "skipped": 1, "nothing_found": 1, "failed": 1}


BAD: list[tuple[Any, str]] = [
    ((Figure("x" * 61, 1),), "a figure's name should have 1 to 60 characters"),
    ((Figure("", 1),), "a figure's name should have 1 to 60 characters"),
    ((Figure("a\nb", 1),), "on one line, and is 'a\\nb'"),
    ((Figure("bytes", math.nan),), "the figure 'bytes' should be a number from 0 on and is nan"),
    ((Figure("bytes", math.inf),), "the figure 'bytes' should be a number from 0 on and is inf"),
    ((Figure("bytes", -1),), "the figure 'bytes' should be a number from 0 on and is -1"),
    ((Figure("bytes", True),), "the figure 'bytes' should be a number from 0 on and is True"),
    ((Figure("bytes", "9"),), "the figure 'bytes' should be a number from 0 on and is '9'"),  # type: ignore[arg-type]
    ((Figure("bytes", 1, "a.test"),), "should be labelled kind:thing and is 'a.test'"),
    ((("bytes", 1, ""),), "figures should be of type Figure and one is tuple"),
    (None, "figures should be a tuple and are NoneType"),
]


def test_a_bad_figure_fails_its_row_alone(sampled: SampleDatabase) -> None:
    """With words that say what is wrong; the rows beside it, and the process, go on."""
    sampled.items(ok=len(BAD) + 5)

    def compute(row: Row) -> Result:
        place = int(row["key"]) - 1
        good = (Figure("bytes", 1),)
        return Result(result_of(row), figures=BAD[place][0] if place < len(BAD) else good)

    assert sampled.process(sampled.start(), compute).work() == "done"
    assert sampled.states() == {"ok": 5, "failed": len(BAD)}
    for key, (_, words) in enumerate(BAD, 1):
        failure = sampled.failure(key)
        assert failure["error_class"] == "bad_result"
        assert words in failure["error_message"]
    assert sampled.all("select name, amount from backfill.run_figures") == [
        {"name": "bytes", "amount": 5}
    ]


def test_bad_figures_of_what_is_raised_fail_the_row(sampled: SampleDatabase) -> None:
    """A row that would be tried again fails as well: the same would come of it."""
    sampled.items(ok=1)

    def compute(row: Row) -> Result:
        ending = Retry("later", code="later")
        ending.figures = (Figure("bytes", -1),)
        raise ending

    assert sampled.process(sampled.start(), compute).work() == "done"
    assert sampled.failure(1)["error_class"] == "bad_result"


def test_names_of_things_come_from_anywhere(sampled: SampleDatabase) -> None:
    """A label that is too long is cut, and one that no text can hold is cleaned: neither is the
    fault of the row.
    """
    sampled.items(ok=3)
    labels = {"1": "host:" + "x" * 400, "2": "host:a\x00b", "3": "host:c\ud800"}

    def compute(row: Row) -> Result:
        return Result(result_of(row), figures=(Figure("stored", 1, labels[row["key"]]),))

    assert sampled.process(sampled.start(), compute).work() == "done"
    sampled.assert_each_written_once()
    found = [row["label"] for row in sampled.all("select label from backfill.run_figures")]
    assert sorted(map(len, found)) == [7, 7, 300]


# --- how they look --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount, text",
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (1234, "1.2 kB"),
        (99_949, "99.9 kB"), (123_456, "123 kB"), (999_499, "999 kB"), (999_999, "1.0 MB"),
        (1_500_000, "1.5 MB"), (2_340_000_000, "2.3 GB"), (7e12, "7.0 TB"), (7e16, "70.0 PB"),
    ],
)  # fmt: skip
def test_bytes_as_people_read_them(amount: float, text: str) -> None:
    """Three figures at most and the unit that fits, in powers of ten."""
    assert size(amount) == text
    assert size(Decimal(str(amount))) == text


def test_plain_figures_are_those_of_all() -> None:
    """Without a label; words for underscores, and separators of thousands."""
    figures = [figure("objects_created", 12_345), figure("bytes", 5000), figure("stored", 1, "a:b")]
    assert list(plain_figures(figures)) == [("objects created", "12,345"), ("bytes", "5.0 kB")]


def test_a_long_name_stands_apart_from_its_amount(
    sampled: SampleDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    """However long the name, a space comes before the number."""
    sampled.items(ok=1)
    named = (Figure("objects that were there already", 7),)
    sampled.process(sampled.start(), lambda row: Result(result_of(row), figures=named)).work()
    (run,) = sampled.all("select * from backfill.runs")
    summary.show(run, summary.Facts(sampled.all("select * from backfill.run_figures")))
    assert "objects that were there already 7" in " ".join(capsys.readouterr().out.split())


def test_a_table_for_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """Kinds apart; things by how many there are of them, bytes last and not counted among them."""
    figures = [
        figure("stored", 5, "host:a.test"), figure("gone", 2, "host:a.test"),
        figure("stored", 9, "host:b.test"), figure("bytes", 10**9, "host:c.test"),
        figure("files", 1, "shard:07"),
    ]  # fmt: skip
    assert printed(capsys, figures) == [
        ["host", "stored", "gone", "bytes"],
        ["b.test", "9", "0", "0", "bytes"],
        ["a.test", "5", "2", "0", "bytes"],
        ["c.test", "0", "0", "1.0", "GB"],
        ["shard", "files"],
        ["07", "1"],
    ]


def test_things_beyond_the_first_are_added_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A table of hundreds of hosts would be the whole screen."""
    things = SHOWN_THINGS + 30
    figures = [figure("stored", things - n, f"host:{n:03}.test") for n in range(things)]
    lines = printed(capsys, figures)
    assert len(lines) == 1 + SHOWN_THINGS + 1
    assert lines[1] == ["000.test", str(things)]
    assert lines[-1] == ["and", "30", "more", str(sum(range(1, 31)))]


def test_json_keeps_every_thing_and_every_amount() -> None:
    """Nothing is left out, and what is no whole number is not cut to one."""
    figures = [figure("seconds", 2.5), figure("bytes", 10**20)]
    figures += [figure("stored", 1, f"host:{n}.test") for n in range(100)]
    found = figures_as_json(figures)
    assert found["figures"] == {"seconds": 2.5, "bytes": 10**20}
    assert len(found["by_host"]) == 100
    assert figures_as_json([]) == {}


def test_what_a_thing_is_called_can_not_paint_the_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Names come from addresses that anybody wrote; control characters are not printed."""
    for rows, columns in tables([figure("stored", 1, "host:a\x1b[31m\nb")]):
        table(rows, columns)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
