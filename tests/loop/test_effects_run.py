"""Paid calls of real processes: written before, settled after, and never paid for twice."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from runner.contract import Call
from runner.errors import BackfillError
from runner.loop.limits import Buckets
from runner.loop.process import Limits, Process
from tests.loop.paid import Provider, task
from tests.loop.paid_books import PRICE, spent, states
from tests.plugins.processes import SampleDatabase, StartRun

PAID = "tests.loop.paid:task"
INDEX = Call("rekognition", "IndexFaces", subject="people", reference="1")


def test_nothing_is_paid_for_twice_whatever_dies(
    sampled: SampleDatabase, run_sample: StartRun, tmp_path: Path
) -> None:
    """Processes that die before and after the provider did its part, answers that are lost, calls
    that are refused: each row is charged once and written once, and the books say just that.
    """
    sampled.items(ok=20, dies_after=1, refused=3, lost=3, dies_before=1, also_ok=12)
    command = run_sample(sampled, "--workers", "2", "--json", tasks=PAID)
    assert command.ended() == 0, command.err
    sampled.assert_each_written_once()
    charged = Provider(tmp_path / "rows").charged()
    assert charged == {str(key): 1 for key in range(1, 41)}
    assert sampled.one("select count(*) from backfill.runner where status = 'lost'") == 2
    assert sampled.all("select * from backfill.effects") == []
    assert spent(sampled) == 40 * PRICE
    found = states(sampled)
    assert found["settled"] == 40
    # three that were refused, some of them perhaps by a process that died before it said so
    assert found["void"] >= 1
    assert found.get("refused", 0) + found["void"] >= 4
    assert not sampled.one("select bool_or(assumed) from backfill.effect")
    assert Decimal(str(command.json["spend_usd"])) == 40 * PRICE
    payers = "select payer, sum(calls) as n from backfill.spend group by payer order by payer"
    assert [(row["payer"], row["n"]) for row in sampled.all(payers)] == [
        ("user:0", 20), ("user:1", 20),
    ]  # fmt: skip


@pytest.mark.slow
def test_eight_processes_stop_at_max_cost(
    sampled: SampleDatabase, run_sample: StartRun, tmp_path: Path
) -> None:
    """They charge to the last call that the limit allows and not one more; the rows that are left
    cost no attempt, and the next run does them.
    """
    sampled.items(ok=150)
    first = run_sample(
        sampled, "--max-cost", "0.0805", "--workers", "8", "--batch-size", "5", "--json", tasks=PAID
    )
    assert first.ended() == 0, first.err
    assert first.json["exit_reason"] == "budget"
    charged = Provider(tmp_path / "rows").charged()
    assert charged.total() == 80
    assert spent(sampled) == 80 * PRICE
    assert sampled.one("select sum(failures) from backfill.job") == 0
    words = "select wait_reason from backfill.progress where task = 'sample'"
    assert sampled.one(words) == "budget: the last run used up its own (max_cost)"
    second = run_sample(sampled, "--json", tasks=PAID)
    assert second.ended() == 0, second.err
    sampled.assert_each_written_once()
    assert spent(sampled) == 150 * PRICE


def work(sampled: SampleDatabase, folder: Path) -> str:
    """Work for a new run in this process until there is a reason to leave; that reason."""
    folder.mkdir(exist_ok=True)
    limiter = Buckets(sampled.url, name="test")
    with closing(limiter), task.opened({"folder": str(folder)}, limiter) as compute:
        process = Process(
            sampled.url, task, sampled.start(), compute, Limits(threads=4), Event(), limiter
        )
        return process.work()


def test_a_run_stops_at_the_task_s_budget(sampled: SampleDatabase, tmp_path: Path) -> None:
    """Also one that has none of its own; the next stops at once, until there is more."""
    sampled.items(ok=30)
    sampled.do("select backfill.set_budget('sample', 0.01)")
    provider = Provider(tmp_path / "rows")
    for _ in range(2):
        assert work(sampled, provider.folder) == "budget"
        assert (provider.charged().total(), sampled.states()["ok"]) == (10, 10)
    sampled.do("select backfill.set_budget('sample', 0.03)")
    assert work(sampled, provider.folder) == "done"
    assert spent(sampled) == 30 * PRICE


def test_a_run_frees_what_the_dead_hold(sampled: SampleDatabase, tmp_path: Path) -> None:
    """A budget used up by calls of a dead process that were never made is there for this run."""
    sampled.items(ok=3)
    sampled.do("select backfill.set_budget('sample', 0.002)")
    run = sampled.start()
    sampled.do("select backfill.discover(%s)", run)
    runner = sampled.one("select backfill.join_run(%s, 1, 'test', 1, false)", run)
    sampled.do("select backfill.claim(%s, 2)", runner)
    intents = [{**asdict(INDEX), "id": str(uuid4()), "key": key} for key in "12"]
    sampled.do("select backfill.intend(%s, %s)", runner, Jsonb(intents))
    sampled.do("update backfill.runner set heartbeat_at = heartbeat_at - interval '1 hour'")
    sampled.do("select backfill.rescue()")
    # some process had asked for more
    sampled.do("update backfill.task_budget set needed = 0.001")
    assert work(sampled, tmp_path / "rows") == "budget"
    assert (sampled.states()["ok"], spent(sampled)) == (2, 2 * PRICE)
    assert states(sampled) == {"void": 2, "settled": 2}


def test_a_call_without_a_price_stops_the_run(sampled: SampleDatabase, tmp_path: Path) -> None:
    """It says what to type; nothing was called and no row is the worse for it."""
    sampled.items(ok=3)
    sampled.do("delete from backfill.price")
    with pytest.raises(BackfillError, match="no price of rekognition IndexFaces; set it: select"):
        work(sampled, tmp_path / "rows")
    assert sampled.states() == {"ready": 3}
    assert sampled.one("select sum(failures) from backfill.job") == 0
    assert Provider(tmp_path / "rows").charged().total() == 0
