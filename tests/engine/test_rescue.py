"""Dead processes: found by their session lock or by the lease, never while they are at work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plugins.engine import Connection, Engine, outcome
from tests.plugins.waiting import wait_until

LOCK = "select pg_try_advisory_lock(backfill.runner_lock_space(), %s::integer)"


def holder(engine: Engine, runner: int) -> Connection:
    """The session of a live process's heartbeats."""
    session = engine.connect(conninfo=engine.database.direct)
    assert engine.value(LOCK, runner, on=session)
    return session


def close(engine: Engine, session: Connection) -> None:
    """Let the process's session end, and wait for the server to notice."""
    pid = session.info.backend_pid
    session.close()
    gone = "select not exists (select from pg_stat_activity where pid = %s)"
    wait_until(lambda: engine.value(gone, pid))


def at_work(engine: Engine, *, direct: bool) -> tuple[int, int]:
    """A run and a runner that holds two jobs."""
    run, _ = engine.at_work(2)
    runner = engine.join(run, direct=direct, pid=77)
    assert len(engine.claim(runner)["jobs"]) == 2
    return run, runner


def test_a_process_whose_session_is_gone_is_found_after_the_grace(engine: Engine) -> None:
    """With its session lock gone its jobs are free after the grace, long before the lease."""
    _, runner = at_work(engine, direct=True)
    session = holder(engine, runner)
    engine.silent(runner, 4)
    assert engine.rescue() == []
    close(engine, session)
    assert engine.rescue(grace=5) == []
    assert engine.rescue(grace=3) == [{"runner_id": runner, "jobs": 2}]
    lost = engine.one("select status, note from backfill.runner where id = %s", runner)
    assert lost == {"status": "lost", "note": "its process (pid 77 on test) died"}
    assert engine.states() == {"ready": 2}


def test_a_process_that_holds_its_lock_has_until_the_lease(engine: Engine) -> None:
    """A stopped process still has its session, so only the lease tells that it is dead."""
    _, runner = at_work(engine, direct=True)
    holder(engine, runner)
    engine.silent(runner, 59)
    assert engine.rescue() == []
    engine.silent(runner, 61)
    assert engine.rescue() == [{"runner_id": runner, "jobs": 2}]


def test_a_slow_process_does_not_take_itself_for_dead(engine: Engine) -> None:
    """The session that holds a process's lock could take it again, and proves that it is alive."""
    _, runner = at_work(engine, direct=True)
    session = holder(engine, runner)
    for silence in (4, 61):
        engine.silent(runner, silence)
        assert engine.rescue(on=session) == []
    close(engine, session)
    assert engine.rescue() == [{"runner_id": runner, "jobs": 2}]


def test_a_process_behind_a_pooler_has_until_the_lease(engine: Engine) -> None:
    """Without a session lock of its own nothing but the lease counts."""
    _, runner = at_work(engine, direct=False)
    engine.silent(runner, 59)
    assert engine.rescue(grace=0) == []
    engine.silent(runner, 61)
    assert engine.rescue() == [{"runner_id": runner, "jobs": 2}]


def test_the_lease_is_the_tasks(engine: Engine) -> None:
    """A shorter lease holds for processes that run already."""
    _, runner = at_work(engine, direct=False)
    engine.rows("update backfill.task set lease = '5 seconds'")
    engine.silent(runner, 6)
    assert engine.rescue() == [{"runner_id": runner, "jobs": 2}]


def test_a_sign_of_life_keeps_a_process_alive(engine: Engine) -> None:
    """A heartbeat starts grace and lease anew, and says that the runner lives."""
    _, runner = at_work(engine, direct=False)
    engine.silent(runner, 1000)
    assert engine.value("select backfill.heartbeat(%s, 'busy')", runner) == "live"
    assert engine.rescue() == []
    assert engine.value("select note from backfill.runner where id = %s", runner) == "busy"


def test_a_lost_process_hears_that_it_is(engine: Engine) -> None:
    """The heartbeat of one that was presumed dead says lost and brings it not back to life."""
    _, runner = at_work(engine, direct=False)
    engine.silent(runner, 100)
    engine.rescue()
    before = engine.one("select * from backfill.runner where id = %s", runner)
    assert engine.value("select backfill.heartbeat(%s)", runner) == "lost"
    assert engine.one("select * from backfill.runner where id = %s", runner) == before
    assert engine.value("select backfill.heartbeat(4711)") == "lost"


def test_a_rescue_is_on_record(engine: Engine) -> None:
    """The audit names the run, the process, how many jobs it held and how it was found out."""
    run, runner = at_work(engine, direct=False)
    engine.silent(runner, 100)
    engine.rescue()
    (event,) = engine.events("lost")
    assert (event["task"], event["run_id"]) == ("sample", run)
    assert event["detail"]["runner"] == runner
    assert event["detail"]["jobs"] == 2
    assert (
        event["detail"]["why"] == "its process (pid 77 on test) gave no sign of life for 00:01:00"
    )


def test_two_rescuers_at_once(engine: Engine) -> None:
    """Of two that look at the same moment one finds the dead process; the other does not wait."""
    _, runner = at_work(engine, direct=False)
    engine.silent(runner, 100)
    first = engine.connect(autocommit=False)
    assert len(engine.rescue(on=first)) == 1
    assert engine.rescue() == []
    first.commit()
    assert engine.rescue() == []
    assert engine.value("select count(*) from backfill.attempt_error") == 2
    assert len(engine.events("lost")) == 1


# --- races: the runner's row is what they meet at ----------------------------------------------

Action = Callable[[Engine, int, Connection], object]


def claim(engine: Engine, runner: int, on: Connection) -> object:
    """A claim in an open transaction."""
    return engine.claim(runner, on=on)


def finish(engine: Engine, runner: int, on: Connection) -> object:
    """A finish in an open transaction."""
    held = engine.rows("select id, attempt, revision from backfill.job where state = 'running'")
    return engine.finish(runner, [outcome(job, "skipped") for job in held], on=on)


def heartbeat(engine: Engine, runner: int, on: Connection) -> object:
    """A heartbeat in an open transaction."""
    return engine.value("select backfill.heartbeat(%s)", runner, on=on)


@pytest.mark.parametrize("action", [claim, finish, heartbeat])
def test_a_process_in_the_midst_of_something_is_not_dead(engine: Engine, action: Action) -> None:
    """A rescue passes over a runner whose own transaction is open, and loses nothing."""
    run, runner = engine.at_work(4)
    engine.claim(runner, 2)
    engine.join(run)
    engine.silent(runner, 100)
    session = engine.connect(autocommit=False)
    action(engine, runner, session)
    assert engine.rescue() == []
    session.commit()
    states = engine.states()
    found = engine.rescue()
    if action is heartbeat:
        assert found == []
    else:
        assert found == [{"runner_id": runner, "jobs": states.get("running", 0)}]
        assert engine.states().get("running") is None
    assert sum(engine.states().values()) == 4


def test_a_claim_waits_for_a_rescue_and_gets_nothing(engine: Engine) -> None:
    """A claim that comes while its runner is being declared dead is told that it is lost."""
    _, runner = at_work(engine, direct=False)
    engine.add(3)
    engine.sweep(engine.start())
    engine.silent(runner, 100)
    rescuer, late = engine.connect(autocommit=False), engine.connect()
    engine.rescue(on=rescuer)
    waiting = engine.meanwhile(engine.claim, runner, on=late)
    engine.blocked(late)
    rescuer.commit()
    assert waiting.result()["status"] == "lost"
    assert engine.states() == {"ready": 3}


def test_a_finish_waits_for_a_rescue_and_writes_nothing(engine: Engine) -> None:
    """A finish that comes while its runner is being declared dead drops its results."""
    run, _ = engine.at_work(2)
    runner = engine.join(run)
    jobs = engine.claim(runner)["jobs"]
    engine.silent(runner, 100)
    rescuer, late = engine.connect(autocommit=False), engine.connect()
    engine.rescue(on=rescuer)
    waiting = engine.meanwhile(engine.finish, runner, [outcome(job) for job in jobs], on=late)
    engine.blocked(late)
    rescuer.commit()
    assert waiting.result()["accepted"] == 0
    assert engine.states() == {"ready": 2}
    assert engine.value("select count(*) from item where writes > 0") == 0


def test_a_heartbeat_waits_for_a_rescue_and_hears_of_it(engine: Engine) -> None:
    """A heartbeat that comes while its runner is being declared dead says lost."""
    _, runner = at_work(engine, direct=False)
    engine.silent(runner, 100)
    rescuer, late = engine.connect(autocommit=False), engine.connect()
    engine.rescue(on=rescuer)
    waiting = engine.meanwhile(engine.value, "select backfill.heartbeat(%s)", runner, on=late)
    engine.blocked(late)
    rescuer.commit()
    assert waiting.result() == "lost"


def test_a_leave_waits_for_a_rescue_and_does_nothing(engine: Engine) -> None:
    """A goodbye after the obituary changes neither the runner nor its run."""
    run, runner = at_work(engine, direct=False)
    engine.silent(runner, 100)
    rescuer, late = engine.connect(autocommit=False), engine.connect()
    engine.rescue(on=rescuer)
    waiting = engine.meanwhile(
        engine.rows, "select backfill.leave(%s, 'interrupted')", runner, on=late
    )
    engine.blocked(late)
    rescuer.commit()
    waiting.result()
    assert engine.value("select status from backfill.runner where id = %s", runner) == "lost"
    assert engine.value("select status from backfill.run where id = %s", run) == "running"
    assert engine.column("select solo from backfill.job") == [True, True]


# --- the end of a run -------------------------------------------------------------------------


def status(engine: Engine, run: int) -> tuple[str, str | None]:
    """A run's status and why it ended."""
    row = engine.one("select status, exit_reason from backfill.run where id = %s", run)
    return row["status"], row["exit_reason"]


def leave_all(engine: Engine, run: int) -> None:
    """Let the processes of a run leave that `at_work` made beside the one under test."""
    for runner in engine.column(
        "select id from backfill.runner where run_id = %s and status = 'live' and pid = 1", run
    ):
        engine.leave(runner)


def test_a_run_whose_processes_all_died_is_lost_after_a_while(engine: Engine) -> None:
    """A run stays for a process that is being started anew, for ten seconds."""
    run, runner = at_work(engine, direct=False)
    leave_all(engine, run)
    engine.silent(runner, 100)
    engine.rescue()
    assert status(engine, run) == ("running", None)
    engine.rows("update backfill.runner set ended_at = clock_timestamp() - interval '11 seconds'")
    engine.rescue()
    assert status(engine, run) == ("ended", "lost")
    assert engine.states() == {"ready": 2}


def test_a_run_that_nobody_joined_yet_is_not_lost(engine: Engine) -> None:
    """A run started in psql waits for its first process for as long as it takes."""
    run = engine.start()
    engine.rows("update backfill.run set started_at = now() - interval '1 day'")
    engine.rescue()
    assert status(engine, run) == ("running", None)


def test_a_process_that_joins_saves_its_run(engine: Engine) -> None:
    """A run that a process is just joining is not ended as lost under its feet."""
    run, runner = at_work(engine, direct=False)
    leave_all(engine, run)
    engine.silent(runner, 100)
    engine.rescue()
    engine.rows("update backfill.runner set ended_at = clock_timestamp() - interval '11 seconds'")
    session = engine.connect(autocommit=False)
    engine.join(run, on=session)
    engine.rescue()
    session.commit()
    engine.rescue()
    assert status(engine, run) == ("running", None)


def test_the_last_to_leave_ends_the_run(engine: Engine) -> None:
    """A run ends with its last process, for that one's reason, and what it holds is handed back."""
    run, one = engine.at_work(2)
    two = engine.join(run)
    engine.claim(one)
    engine.leave(one, "done")
    assert status(engine, run) == ("running", None)
    assert engine.states() == {"ready": 2}
    assert engine.column("select failures from backfill.job") == [0, 0]
    engine.leave(two, "max_duration")
    assert status(engine, run) == ("ended", "max_duration")
    (event,) = engine.events("end")
    assert event["detail"] == {"exit_reason": "max_duration"}


def test_of_two_that_leave_at_once_one_ends_the_run(engine: Engine) -> None:
    """Two last processes that leave at the same moment do not each leave it to the other."""
    run, one = engine.at_work(0)
    two = engine.join(run)
    first, second = engine.connect(autocommit=False), engine.connect()
    engine.rows("select backfill.leave(%s, 'done')", one, on=first)
    waiting = engine.meanwhile(engine.rows, "select backfill.leave(%s, 'done')", two, on=second)
    engine.blocked(second)
    assert status(engine, run) == ("running", None)
    first.commit()
    waiting.result()
    assert status(engine, run) == ("ended", "done")
    assert len(engine.events("end")) == 1
