"""Commands before a run, after a batch and after a run."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from runner.database.session import Session
from runner.errors import BackfillError, UsageError
from runner.hooks.batches import batch_command
from runner.hooks.commands import Commands
from runner.hooks.execute import execute
from runner.hooks.moments import after_run, begin
from tests.hooks import notes
from tests.plugins.processes import SampleDatabase, StartRun
from tests.plugins.waiting import wait_until

DONE = dict.fromkeys(("accepted", "ok", "nothing_found", "skipped", "failed", "retried"), 0)


def noting(path: Path, *how: str) -> str:
    """A command that writes down what it is told."""
    return " ".join([sys.executable, str(Path(notes.__file__)), str(path), *how])


# --- with `backfill run` --------------------------------------------------------------------------


def test_commands_run_before_the_run_after_batches_and_after_it(
    sampled: SampleDatabase, run_sample: StartRun, tmp_path: Path
) -> None:
    """Each is told of its moment; two processes tell of their batches, which add up to the run."""
    sampled.items(ok=250, skip=10, fail=5)
    told = {name: tmp_path / name for name in ("before-run", "after-batch", "after-run")}
    flags = [word for name, path in told.items() for word in (f"--{name}", noting(path))]
    command = run_sample(sampled, "--workers", "2", "--batch-size", "20", *flags)
    assert command.ended() == 3

    (before,) = notes.told(told["before-run"])
    assert before["message"]["type"] == "run.started"
    data = before["message"]["data"]
    assert (data["run"], data["status"], data["processed"], data["found"]) == (1, "running", 0, 265)
    assert before["environment"]["BACKFILL_RUN"] == "1"
    assert before["environment"]["BACKFILL_TASK"] == "sample"
    assert before["environment"]["BACKFILL_MOMENT"] == "before_run"

    batches = [line["message"] for line in notes.told(told["after-batch"])]
    assert {batch["type"] for batch in batches} == {"batch.finished"}
    names = ("rows", "ok", "skipped", "failed")
    sums = [sum(batch["data"][name] for batch in batches) for name in names]
    assert sums == [265, 250, 10, 5]

    (after,) = notes.told(told["after-run"])
    data = after["message"]["data"]
    assert after["message"]["type"] == "run.ended"
    assert (data["status"], data["exit_reason"], data["ok"]) == ("ended", "done", 250)


def test_before_run_fails_and_no_row_is_done(
    sampled: SampleDatabase, run_sample: StartRun, tmp_path: Path
) -> None:
    """The run ends with an error that has the command's last words, and its end is told."""
    sampled.items(ok=5)
    before, after = tmp_path / "before", tmp_path / "after"
    secret = noting(before, "exit", "7", "--token=hunter2")
    command = run_sample(sampled, "--before-run", secret, "--after-run", noting(after))
    assert command.ended() == 1
    assert "exit code 7: it is a holiday; run 1 does nothing" in command.err
    assert "hunter2" not in command.err
    assert sampled.writes() == {0: 5}
    assert sampled.one("select exit_reason from backfill.run") == "error"
    (ended,) = notes.told(after)
    assert ended["message"]["data"]["exit_reason"] == "error"
    (event,) = sampled.all("select * from backfill.event where action = 'hook_failed'")
    assert (event["run_id"], event["detail"]["moment"]) == (1, "before_run")


def test_the_environment_names_them_too_and_they_are_not_passed_on(
    sampled: SampleDatabase, run_sample: StartRun, tmp_path: Path
) -> None:
    """A command that calls backfill itself does not set off the commands again.

    A run with nothing to do is told of, too.
    """
    told = tmp_path / "told"
    command = run_sample(sampled, BACKFILL_AFTER_RUN=noting(told), BACKFILL_HOOK_TIMEOUT="30s")
    assert command.ended() == 0
    (after,) = notes.told(told)
    assert after["message"]["data"]["processed"] == 0
    assert "BACKFILL_AFTER_RUN" not in after["environment"]


# --- one process among several --------------------------------------------------------------------


def test_of_several_processes_one_runs_the_command_and_the_others_wait(
    sampled: SampleDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that comes while the command is running goes on when it has ended, not before."""
    run = sampled.start()
    told, go = tmp_path / "told", tmp_path / "go"
    commands = Commands.parse(noting(told, "until", str(go)), None, noting(told))
    passed: list[str] = []
    # threads stand for processes
    who = lambda: {"host": "here", "pid": threading.get_native_id()}  # noqa: E731
    monkeypatch.setattr("runner.hooks.moments.this_process", who)

    def process() -> None:
        with Session(sampled.url, name="test") as session:
            begin(session, commands, "sample", run)
            passed.append("began" if go.exists() else "too early")

    threads = [threading.Thread(target=process) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: notes.told(told))
    go.touch()
    for thread in threads:
        thread.join()
    assert passed == ["began", "began"]
    assert len(notes.told(told)) == 1
    with Session(sampled.url, name="test") as session:
        after_run(session, commands, "sample", run)
        assert len(notes.told(told)) == 1, "the run has not ended"
        session.call("end_run", run=run, reason="done")
        after_run(session, commands, "sample", run)
        after_run(session, commands, "sample", run)
    types = [line["message"]["type"] for line in notes.told(told)]
    assert types == ["run.started", "run.ended"]


def test_where_the_command_failed_no_process_works(sampled: SampleDatabase, tmp_path: Path) -> None:
    """A process that comes later is told so, and runs nothing."""
    run = sampled.start()
    told = tmp_path / "told"
    commands = Commands.parse(noting(told, "exit", "1"), None, None)
    with Session(sampled.url, name="test") as session:
        for why in ("it is a holiday", "it failed in another process"):
            with pytest.raises(BackfillError, match=why):
                begin(session, commands, "sample", run)
    assert len(notes.told(told)) == 1
    assert sampled.one("select exit_reason from backfill.run") == "error"


def test_a_command_whose_process_died_is_run_by_another(
    sampled: SampleDatabase, tmp_path: Path
) -> None:
    """Once it is overdue; until then the others wait."""
    run = sampled.start()
    told = tmp_path / "told"
    sampled.all("select backfill.take_command(%s, 'before_run', 'elsewhere', 1, '0')", run)
    with Session(sampled.url, name="test") as session:
        begin(session, Commands.parse(noting(told), None, None), "sample", run)
    assert len(notes.told(told)) == 1


def test_an_interrupted_command_is_ended_and_left_to_others(
    sampled: SampleDatabase, tmp_path: Path
) -> None:
    """A signal while it runs ends it; the run goes on elsewhere, and it is run again there."""
    run = sampled.start()
    told, stop = tmp_path / "told", threading.Event()
    commands = Commands.parse(noting(told, "hang"), None, None)

    def process() -> None:
        with Session(sampled.url, name="test") as session:
            begin(session, commands, "sample", run, stop)

    thread = threading.Thread(target=process)
    thread.start()
    wait_until(lambda: notes.told(told))
    stop.set()
    thread.join()
    assert sampled.one("select status from backfill.run") == "running"
    assert not sampled.all("select from backfill.run_command")


def test_other_commands_that_fail_are_warned_of(
    sampled: SampleDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done is done, whatever a command says of it; a batch's says the same once."""
    run = sampled.start()
    wrong = noting(tmp_path / "told", "exit", "7")
    commands = Commands.parse(None, wrong, wrong)
    with batch_command(commands, "sample", run) as note:
        assert note is not None
        note(DONE | {"accepted": 1})
        wait_until(lambda: len(notes.told(tmp_path / "told")) == 1)
        note(DONE | {"accepted": 1})
    with Session(sampled.url, name="test") as session:
        session.call("end_run", run=run, reason="done")
        after_run(session, commands, "sample", run)
    name = Path(sys.executable).name
    assert [record.getMessage() for record in caplog.records] == [
        f"the {moment} command {name}: it ended with exit code 7: it is a holiday"
        for moment in ("after-batch", "after-run")
    ]


# --- one command ----------------------------------------------------------------------------------


def test_batches_that_end_while_it_runs_are_one_message(tmp_path: Path) -> None:
    """However slow the command is, nothing waits for it, and no batch is left out."""
    told, go = tmp_path / "told", tmp_path / "go"
    commands = Commands.parse(None, noting(told, "until", str(go)), None)
    with batch_command(commands, "sample", 1) as note:
        assert note is not None
        note(DONE | {"accepted": 1, "ok": 1})
        wait_until(lambda: notes.told(told))
        for _ in range(9):
            note(DONE | {"accepted": 2, "ok": 1, "failed": 1})
        go.touch()
    first, rest = (line["message"]["data"] for line in notes.told(told))
    assert (first["batches"], first["rows"], first["ok"], first["failed"]) == (1, 1, 1, 0)
    assert (rest["batches"], rest["rows"], rest["ok"], rest["failed"]) == (9, 18, 9, 9)


def test_too_long_a_command_is_ended_with_what_it_started(tmp_path: Path) -> None:
    """After its time limit neither it nor its child is there."""
    child = tmp_path / "pid"
    script = f'sleep 600 & echo $! > "{child}"; wait'
    wrong = execute(["/bin/sh", "-c", script], b"{}", {}, timeout=0.3)
    assert wrong == "it took longer than 0.3 s and was ended"
    state = Path(f"/proc/{child.read_text().strip()}/stat")
    wait_until(lambda: not state.exists() or state.read_text().split()[2] == "Z", seconds=5)


def test_a_command_may_print_without_end_and_leave_a_child_behind(tmp_path: Path) -> None:
    """What it prints never holds it up, and a child that keeps its output open isn't waited for."""
    pid = tmp_path / "pid"
    script = f'yes | head -c 3000000; sleep 60 & echo $! > "{pid}"'
    assert execute(["/bin/sh", "-c", script], b"", {}, 20.0) is None
    assert Path(f"/proc/{pid.read_text().strip()}").exists()
    execute(["kill", pid.read_text().strip()], b"", {}, 20.0)


@pytest.mark.parametrize(
    "script, wrong",
    [
        ("cat > /dev/null; echo one; echo two >&2; echo; exit 3", "it ended with exit code 3: two"),
        ("exit 4", "it ended with exit code 4"),
        ("kill -9 $$", "it ended with signal SIGKILL"),
    ],
)
def test_what_a_command_failed_with(script: str, wrong: str) -> None:
    """How it ended, and the last line that it printed, whether to stdout or to stderr."""
    assert execute(["/bin/sh", "-c", script], json.dumps({}).encode(), {}, 20.0) == wrong


def test_a_command_that_reads_nothing_is_no_failure() -> None:
    """However much it is told."""
    assert execute(["true"], b"x" * 60_000, {}, 20.0) is None


@pytest.mark.parametrize(
    "typed, wrong",
    [
        ("no-such-program --x", "--after-run: there is no program 'no-such-program'"),
        ("'unbalanced", "--after-run can't be read: no closing quotation"),
        ("''", "--after-run: there is no program ''"),
    ],
)
def test_a_command_that_cannot_run_is_told_at_once(typed: str, wrong: str) -> None:
    """A mistake in a command is found before the run is started, not when it has ended."""
    with pytest.raises(UsageError, match=wrong):
        Commands.parse(None, None, typed)


@pytest.mark.parametrize("typed", [None, "", "  "])
def test_no_command_is_none(typed: Any) -> None:
    """An empty variable of the environment is as good as none."""
    assert Commands.parse(typed, typed, typed) == Commands()


def test_no_shell_reads_a_command() -> None:
    """What a shell would act on are plain words."""
    assert Commands.parse("echo $HOME; true | cat", None, None).before_run == (
        "echo", "$HOME;", "true", "|", "cat",
    )  # fmt: skip
