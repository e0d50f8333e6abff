"""Hooks of runs that a worker serves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hooks import notes
from tests.hooks.receiver import Receiver
from tests.plugins.processes import SampleDatabase, StartCommand


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """See `Receiver`."""
    server = Receiver()
    with server.running():
        yield server


def test_a_worker_runs_commands_and_tells_webhooks(
    sampled: SampleDatabase, command: StartCommand, receiver: Receiver, tmp_path: Path
) -> None:
    """A run started in psql with two processes has its commands once each, and is told of."""
    query = "select backfill.set_webhook('team', %s, array['before_run', 'after_run'])"
    sampled.all(query, receiver.address)
    sampled.items(ok=60)
    options = '{"processes": 2}'
    run = sampled.one("select backfill.start('sample', %s, p_batch_size => 5)", options)
    told = {moment: tmp_path / moment for moment in ("BEFORE_RUN", "AFTER_BATCH", "AFTER_RUN")}
    noting = {
        f"BACKFILL_{moment}": f"{sys.executable} {notes.__file__} {path}"
        for moment, path in told.items()
    }
    allow = {"BACKFILL_HOOK_ALLOW": "127.0.0.0/8"}
    worker = command(sampled.url, "worker", "--once", "--processes", "2", **noting, **allow)
    assert worker.ended() == 0, worker.err

    (before,) = notes.told(told["BEFORE_RUN"])
    (after,) = notes.told(told["AFTER_RUN"])
    assert before["message"]["data"]["run"] == after["message"]["data"]["run"] == run
    assert after["message"]["data"]["ok"] == 60
    batches = [line["message"]["data"]["ok"] for line in notes.told(told["AFTER_BATCH"])]
    assert sum(batches) == 60
    assert sorted(receiver.types()) == ["run.ended", "run.started"]


def test_a_worker_s_run_whose_command_fails_ends_with_an_error(
    sampled: SampleDatabase, command: StartCommand
) -> None:
    """No row is worked on, and the run is not begun again and again."""
    sampled.items(ok=5)
    sampled.all("select backfill.start('sample')")
    worker = command(sampled.url, "worker", "--once", BACKFILL_BEFORE_RUN="false")
    worker.ended()
    assert "the before-run command false: it ended with exit code 1" in worker.err
    assert sampled.one("select exit_reason from backfill.run") == "error"
    assert sampled.writes() == {0: 5}
