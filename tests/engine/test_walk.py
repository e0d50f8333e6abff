"""Whatever happens in whatever order, no job is lost and every count is a count of rows.

A seeded random walk over everything that processes and operators do, with the invariants looked
at after each step.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import psycopg
import pytest

from tests.plugins.engine import FINISHED, Engine, Row, outcome

STEPS = 200
ITEMS = 40

INVARIANTS = {
    "a running job is held by a live runner of the run that took it": """
        select j.* from backfill.job j
          left join backfill.runner r on r.id = j.runner_id
         where j.state = 'running' and (r.status is distinct from 'live' or r.run_id <> j.run_id)
    """,
    "a ready job is in a lane that a run takes from": """
        select j.* from backfill.job j
         where j.state = 'ready' and j.lane <> 0
           and not exists (select from backfill.run r where r.id = j.lane and r.status <> 'ended')
    """,
    "the counters with their corrections are the finished jobs": """
        select s.state, s.counted, count(j.id) as jobs
          from backfill.tally t
         cross join lateral (
               select sum(r.ok) as ok, sum(r.nothing_found) as nothing_found,
                      sum(r.skipped) as skipped, sum(r.failed) as failed
                 from backfill.runner r where r.task = t.task) r
         cross join lateral (values
               ('ok', t.ok + coalesce(r.ok, 0)),
               ('nothing_found', t.nothing_found + coalesce(r.nothing_found, 0)),
               ('skipped', t.skipped + coalesce(r.skipped, 0)),
               ('failed', t.failed + coalesce(r.failed, 0))) as s (state, counted)
          left join backfill.job j on j.task = t.task and j.state = s.state
         group by s.state, s.counted having s.counted <> count(j.id)
    """,
    "progress counts the rows": """
        select p.*, c.* from backfill.progress p
         cross join lateral (
               select count(*) filter (where state = 'ready') as r,
                      count(*) filter (where state = 'running') as h,
                      count(*) filter (where state = 'ok') as o,
                      count(*) filter (where state = 'failed') as f
                 from backfill.job j where j.task = p.task) c
         where (p.ready, p.running, p.ok, p.failed) is distinct from (c.r, c.h, c.o, c.f)
            or p.done + p.remaining <> p.total or p.done < 0 or p.remaining < 0
            or p.done > p.ok + p.nothing_found + p.skipped + p.failed
    """,
    "no run takes more than its limit, nor counts a job less often than it took it": """
        select r.* from backfill.run r
         where r.taken > r.max_jobs
            or r.max_jobs is not null
               and r.taken < (select count(*) from backfill.job j where j.run_id = r.id)
    """,
    "a run that ended has no process, and one without a process that left has ended": """
        select r.id, r.status, array_agg(w.status) from backfill.run r
          join backfill.runner w on w.run_id = r.id
         group by r.id
        having r.status = 'ended' and bool_or(w.status = 'live')
            or r.status <> 'ended' and bool_and(w.status = 'left')
    """,
    "nothing is blamed more often than it was tried": """
        select j.* from backfill.job j where j.failures > j.attempt
    """,
    "what is done is written, and written but once for each time": """
        select j.key, i.* from backfill.job j join item i on i.id = j.key::bigint
         where j.state = 'ok' and i.writes = 0
    """,
}


TOO_MANY_TOGETHER = """
    select j.runner_id from backfill.job j where j.state = 'running' and j.solo
     group by j.runner_id having count(*) > min(j.suspects)
"""


class Walk:
    """The state that the walk itself keeps: processes, and what each believes to hold."""

    def __init__(self, engine: Engine, seed: int, *, items: int = 0) -> None:
        self.engine = engine
        self.chance = random.Random(seed)
        self.held: dict[int, list[Row]] = {}
        self.first = self.items = items
        self.add()

    # --- what may happen ----------------------------------------------------------------------

    def add(self) -> None:
        """Items appear, some behind the sweep's position."""
        if self.items < self.first + ITEMS:
            first = self.items + 1
            self.items += self.chance.randint(1, 8)
            self.engine.add(first, self.items)

    def start(self) -> None:
        """A run begins: of all or with a condition, with a limit or without."""
        if len(self.runs()) < 4:
            self.engine.start(
                where=self.chance.choice([None, None, "native_key % 3 = 0", "native_key > 10"]),
                limit=self.chance.choice([None, None, 3, 10]),
                retry_failed=self.chance.random() < 0.3,
            )

    def join(self) -> None:
        """A process joins a run."""
        runs = self.runs()
        if runs and len(self.live()) < 6:
            self.engine.join(self.chance.choice(runs))

    def discover(self) -> None:
        """A process sweeps a chunk."""
        for run in self.runs()[:1]:
            self.engine.discover(run, self.chance.randint(1, 6))

    def claim(self) -> None:
        """A process claims, from the start or from somewhere in the queue."""
        for runner in self.some_runner():
            claim = self.engine.claim(
                runner,
                self.chance.randint(1, 6),
                after=self.chance.choice([0, 0, ITEMS // 2]),
                alone=not self.held.get(runner),
            )
            self.held.setdefault(runner, []).extend(claim["jobs"])

    def finish(self) -> None:
        """A process finishes some of what it believes to hold; of a lost one, nothing counts."""
        for runner in self.chance.sample(sorted(self.held), min(1, len(self.held))):
            jobs = self.held[runner]
            group = [jobs.pop() for _ in range(self.chance.randint(0, len(jobs)))]
            kinds = self.chance.choices([*FINISHED, "retry"], weights=[5, 1, 1, 1, 4], k=len(group))
            done = self.engine.finish(
                runner,
                [
                    outcome(job, kind, counts=self.chance.random() < 0.8)
                    for job, kind in zip(group, kinds, strict=True)
                ],
            )
            assert done["accepted"] <= len(group)

    def release(self) -> None:
        """A process hands back all but what it works on."""
        for runner in self.some_runner():
            keep = self.held.get(runner, [])[:2]
            self.engine.release(runner, [job["id"] for job in keep])
            self.held[runner] = keep

    def leave(self) -> None:
        """A process says goodbye."""
        for runner in self.some_runner():
            self.engine.leave(runner, self.chance.choice(["done", "interrupted", "limit"]))

    def die(self) -> None:
        """A process dies and is found; it may come back later, with results in hand."""
        for runner in self.some_runner():
            self.engine.silent(runner, 1000)
            self.engine.rescue()

    def time_passes(self) -> None:
        """Retries become due; runs of the dead are found to be over."""
        self.engine.due()
        self.engine.rows(
            "update backfill.runner r set ended_at = ended_at - interval '1 hour' from ("
            " select id from backfill.runner where status = 'lost' for update skip locked) l"
            " where r.id = l.id"
        )
        self.engine.rescue()

    def pause(self) -> None:
        """Somebody pauses and resumes."""
        call = "resume" if self.engine.progress()["state"] == "paused" else "pause"
        self.engine.rows(f"select backfill.{call}('sample')")

    def cancel(self) -> None:
        """Somebody cancels a run."""
        for run in self.runs()[:1]:
            self.engine.rows("select backfill.cancel(%s)", run)

    def retry(self) -> None:
        """Somebody retries some failed rows."""
        keys = [str(self.some_item()) for _ in range(10)]
        self.engine.rows("select backfill.retry('sample', null, %s)", keys)

    def change(self) -> None:
        """The application changes an input, or loses a result."""
        column = self.chance.choice(["input = input || 'x'", "result = null"])
        self.engine.rows(f"update item set {column} where id = %s", self.some_item())

    def prune(self) -> None:
        """History is thrown away."""
        self.engine.rows("select backfill.prune(interval '0')")

    # --- helpers ------------------------------------------------------------------------------

    def some_item(self) -> int:
        """An item of this walk's."""
        return self.chance.randint(self.first + 1, self.items)

    def runs(self) -> list[int]:
        """Runs that have not ended, in any order."""
        runs = self.engine.column("select id from backfill.run where status <> 'ended' order by id")
        return self.chance.sample(runs, len(runs))

    def live(self) -> list[int]:
        """Live runners."""
        return self.engine.column(
            "select id from backfill.runner where status = 'live' order by id"
        )

    def some_runner(self) -> list[int]:
        """One live runner, if there is any."""
        live = self.live()
        return [self.chance.choice(live)] if live else []

    def step(self) -> str:
        """Let something happen; what it was."""
        weights: dict[Callable[[], None], int] = {
            self.add: 2, self.start: 3, self.join: 5, self.discover: 8, self.claim: 12,
            self.finish: 12, self.release: 2, self.leave: 2, self.die: 2, self.time_passes: 3,
            self.pause: 1, self.cancel: 1, self.retry: 1, self.change: 2, self.prune: 1,
        }  # fmt: skip
        (action,) = self.chance.choices(list(weights), weights=list(weights.values()))
        action()
        return action.__name__


def check(engine: Engine, history: list[str]) -> None:
    """All invariants hold, and there is one job for each key that was ever enqueued."""
    for promise, query in INVARIANTS.items():
        wrong = engine.rows(query)
        assert wrong == [], f"{promise}; after {history}"


def work_off(engine: Engine) -> None:
    """Finish everything, as one process would that is left alone with the rest."""
    if engine.progress()["state"] == "paused":
        engine.rows("select backfill.resume('sample')")
    for runner in engine.column("select id from backfill.runner where status = 'live'"):
        engine.leave(runner)
    for run in engine.column("select id from backfill.run where status <> 'ended'"):
        engine.rows("select backfill.cancel(%s)", run)
    run = engine.start(retry_failed=True)
    runner = engine.join(run)
    engine.sweep(run, 10)
    engine.due()
    while jobs := engine.claim(runner, alone=True)["jobs"]:
        results = [outcome(job, "ok" if job["input"] else "skipped") for job in jobs]
        engine.finish(runner, results)
    engine.leave(runner)


@pytest.mark.parametrize("seed", range(4))
def test_the_books_balance_after_every_step(engine: Engine, seed: int) -> None:
    """After each of many random steps the counts are counts of rows and each job has its place;
    in the end every row can still be done.
    """
    walk = Walk(engine, seed)
    history: list[str] = []
    for _ in range(STEPS):
        history.append(walk.step())
        check(engine, history[-8:])
        assert engine.rows(TOO_MANY_TOGETHER) == [], history[-8:]
    work_off(engine)
    check(engine, ["work_off"])
    left = engine.rows(
        "select n.key, j.state from backfill.needs_sample n"
        " left join backfill.job j on j.task = 'sample' and j.key = n.key"
        " where j.state is null or j.state not in ('nothing_found', 'skipped', 'failed')"
    )
    assert left == []
    assert set(engine.states()) <= set(FINISHED)
    progress = engine.progress()
    assert (progress["remaining"], progress["done"]) == (0, sum(engine.states().values()))


def walk_alone(engine: Engine, seed: int) -> list[str]:
    """A walk in a session of its own among others; the SQLSTATEs of the errors it met."""
    met = []
    own = Engine(engine.database)
    walk = Walk(own, seed, items=seed * 1000)
    for _ in range(STEPS // 2):
        try:
            walk.step()
        except psycopg.Error as error:
            met.append(error.sqlstate or str(error))
    own.connection.close()
    return met


def test_the_books_balance_with_everybody_at_once(engine: Engine) -> None:
    """Six walks at once, in sessions that know nothing of each other, lose no job, count right,
    and never wait for each other in a circle.
    """
    walks = [engine.meanwhile(walk_alone, engine, seed) for seed in range(6)]
    met = {state for walk in walks for state in walk.result()}
    # a run that another walk has ended meanwhile can't be joined
    assert met <= {"BF004", "BF002"}
    check(engine, ["everybody"])
    work_off(engine)
    check(engine, ["work_off"])
    assert set(engine.states()) <= set(FINISHED)
