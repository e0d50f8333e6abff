"""What the commands for looking and for steering promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import ExitCode
from tests.cli.conftest import Backfill, Work
from tests.plugins.database import Database


@pytest.fixture
def on(backfill: Backfill, installed: Database) -> Backfill:
    """The command line on the database that has quality_score installed."""
    return backfill.use(installed)


def test_tasks_tells_known_from_installed(backfill: Backfill, application: Database) -> None:
    """`tasks` lists a task before it is installed and after, with its state."""
    backfill.use(application)
    rows = {row["task"]: row for row in backfill("tasks", "--json").json}
    assert set(rows) == {"face_index", "image_signals", "quality_score", "vehicle_images"}
    assert {(row["state"], row["installed"]) for row in rows.values()} == {("available", None)}
    assert backfill("migrate", "quality_score").code == ExitCode.DONE
    rows = {row["task"]: row for row in backfill("tasks", "--json").json}
    assert (rows["quality_score"]["state"], rows["quality_score"]["installed"]) == ("installed", 1)
    backfill("pause", "quality_score")
    assert backfill("tasks").out.splitlines()[3].split()[:4] == [
        "quality_score",
        "1",
        "1",
        "paused",
    ]


def test_tasks_needs_no_database(backfill: Backfill) -> None:
    """Without a database `tasks` lists what is known and says that it can't know more."""
    ended = backfill("tasks")
    assert ended.code == ExitCode.DONE
    assert "quality_score" in ended.out
    assert "no database given" in ended.err


def test_tasks_shows_the_odd_ones(
    on: Backfill, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tasks` shows versions that differ, tasks without code, and code that can't be loaded."""
    work.one("select backfill.register_task('quality_score', 2, 'Newer.')")
    work.one("select backfill.register_task('by_hand', 1, 'Made in psql.')")
    (tmp_path / "fails_at_import.py").write_text("raise RuntimeError('no')")
    monkeypatch.setenv("BACKFILL_TASKS", "fails_at_import:x")
    states = {row["task"]: row["state"] for row in on("tasks", "--json").json}
    assert states == {
        "quality_score": "outdated", "by_hand": "no code", "fails_at_import:x": "broken",
        "face_index": "available", "image_signals": "available", "vehicle_images": "available",
    }  # fmt: skip


def test_status_before_any_run(on: Backfill) -> None:
    """A task that never ran is idle, with the reason in words."""
    ended = on("status", "quality_score")
    assert ended.out.splitlines()[0] == "quality_score: idle"
    assert "not run yet" in ended.out


def test_status_shows_progress_processes_and_runs(on: Backfill, work: Work) -> None:
    """`status` has the same figures as the views: rows by outcome, live processes, last runs."""
    work.run(ok=3, failed=2)
    work.images(4)
    run, runner = work.start()
    work.claim(runner, 3)
    found = on("status", "quality_score", "--json").json
    (progress,) = found["progress"]
    assert {k: progress[k] for k in ("state", "ok", "failed", "running", "ready")} == {
        "state": "running", "ok": 3, "failed": 2, "running": 3, "ready": 1,
    }  # fmt: skip
    (process,) = found["processes"]
    assert (process["pid"], process["holds"], process["run"]) == (4711, 3, run)
    assert [r["exit_reason"] for r in found["runs"]] == [None, "done"]
    shown = on("status").out
    assert "done       5 (3 ok, 2 failed)" in shown
    assert "remaining  4 (3 held now)" in shown
    assert "a-host" in shown


def test_status_says_why_an_error_stopped_a_run(on: Backfill, work: Work) -> None:
    """In the words of the process that could not work, where a worker served the run."""
    run = work.one("select backfill.start('quality_score')")
    worker = work.one("select backfill.join_fleet('a-host', 1, 1, '{}')")
    work.one("select backfill.fail_run(%s, %s, 'the storage can''t be reached')::text", run, worker)
    assert on("status", "--json").json["run_errors"] == [
        {"run": run, "task": "quality_score", "why": "the storage can't be reached"}
    ]
    assert "the storage can't be reached" in on("status").out


def test_status_says_why_nothing_moves(on: Backfill, work: Work) -> None:
    """A paused task says who paused it and why; a silent process is listed as such."""
    on("pause", "quality_score", "--reason", "vacuum first")
    _, runner = work.start()
    work.connection.execute(
        "update backfill.runner set heartbeat_at = heartbeat_at - interval '40 seconds'"
        " where id = %s",
        [runner],
    )
    shown = on("status").out
    assert "paused by postgres: vacuum first" in shown
    assert "silent processes" in shown


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("failures",), ("retry",), ("pause",), ("resume",), ("cancel",), ("verify",)],
)
def test_unknown_task_is_told(on: Backfill, arguments: tuple[str, ...]) -> None:
    """Every command that takes a task says which there are when it is given another."""
    ended = on(*arguments, "qualitee_score")
    assert ended.code == ExitCode.USAGE
    assert "did you mean quality_score?" in ended.err


@pytest.mark.parametrize("command", ["status", "failures", "retry", "pause", "verify"])
def test_task_that_is_not_installed_is_told(
    backfill: Backfill, application: Database, command: str
) -> None:
    """A known task that isn't installed is told from an unknown one, with what to run."""
    assert backfill.use(application)("migrate").code == ExitCode.DONE
    ended = backfill(command, "quality_score")
    assert ended.code == ExitCode.USAGE
    assert "run: backfill migrate quality_score" in ended.err


def test_failures_lists_rows_and_causes(on: Backfill, work: Work) -> None:
    """`failures` gives each failed row its cause; --causes counts them; --class picks one."""
    work.run(ok=1, failed=3, error_class="http_404")
    work.run(failed=2, error_class="timeout")
    assert len(on("failures", "--json").json) == 5
    rows = on("failures", "quality_score", "--class", "timeout", "--json").json
    assert {row["error_class"] for row in rows} == {"timeout"}
    causes = on("failures", "--causes", "--json").json
    assert {cause["error_class"]: cause["rows"] for cause in causes} == {
        "http_404": 3,
        "timeout": 2,
    }
    ended = on("failures", "quality_score", "--limit", "2")
    assert len(ended.out.splitlines()) == 3
    assert "2 of 5 rows" in ended.err
    assert "backfill retry quality_score" in ended.err


def test_failures_of_nothing(on: Backfill) -> None:
    """No failures is no error."""
    ended = on("failures")
    assert (ended.code, ended.out) == (ExitCode.DONE, "")
    assert on("failures", "--json").json == []


def test_retry_reopens_what_was_asked_for(on: Backfill, work: Work) -> None:
    """`retry` takes up the failed rows of one cause or some keys, and no others."""
    work.run(failed=3, error_class="http_404")
    work.run(failed=2, error_class="timeout")
    ended = on("retry", "quality_score", "--class", "timeout", "--yes")
    assert ended.out == "2 rows of quality_score are ready again\n"
    assert "next: backfill run quality_score" in ended.err
    left = on("failures", "--json").json
    assert [row["error_class"] for row in left] == ["http_404"] * 3
    ended = on("retry", "quality_score", "--key", left[0]["key"], "--key", "no-such", "--yes")
    assert ended.out == "1 row of quality_score is ready again\n"
    assert "1 key had no failed row" in ended.err
    assert on("retry", "quality_score", "--class", "nope", "--yes").code == ExitCode.DONE
    assert work.one("select count(*) from backfill.job where state = 'ready'") == 3


@pytest.mark.parametrize(
    "answer, code, left",
    [("y\n", ExitCode.DONE, 0), ("n\n", ExitCode.CANCELLED, 2), ("", ExitCode.USAGE, 2)],
)
def test_retry_asks_first(on: Backfill, work: Work, answer: str, code: ExitCode, left: int) -> None:
    """`retry` says how many rows and asks; without anybody to answer it does nothing."""
    work.run(failed=2)
    ended = on("retry", "quality_score", answer=answer)
    assert ended.code == code
    assert "try 2 failed rows of quality_score again?" in ended.err
    assert work.one("select count(*) from backfill.failures") == left


def test_pause_and_resume_are_audited(on: Backfill, work: Work) -> None:
    """A pause holds for the next claim, a resume takes it back, and both are in the audit."""
    work.images(2)
    _, runner = work.start()
    on("pause", "quality_score", "--reason", "nightly import")
    status = "select status from backfill.claim(%s, 1, 0, '-infinity')"
    assert work.one(status, runner) == "paused"
    assert "goes on with 1 process" in on("resume", "quality_score").out
    assert work.one(status, runner) == "jobs"
    assert "was not paused" in on("resume", "quality_score").out
    events = work.connection.execute(
        "select action, via from backfill.event where action in ('pause', 'resume') order by id"
    ).fetchall()
    assert [(e["action"], e["via"]) for e in events][:2] == [
        ("pause", "backfill pause"), ("resume", "backfill resume"),
    ]  # fmt: skip


def test_cancel_a_run_or_all_runs_of_a_task(on: Backfill, work: Work) -> None:
    """`cancel` stops one run by its number, or every live run by the task's name."""
    work.images(2)
    first, _ = work.start()
    second, runner = work.start()
    assert on("cancel", str(first)).out == f"run {first} is stopping; see: backfill status\n"
    assert f"run {second} is stopping" in on("cancel", "quality_score").out
    assert (
        work.one("select status from backfill.claim(%s, 1, 0, '-infinity')", runner) == "cancelled"
    )
    assert on("cancel", "12345").code == ExitCode.USAGE
    assert "there is no run" in on("cancel", "9" * 20).err


def test_cancel_without_a_run(on: Backfill) -> None:
    """There is nothing wrong with cancelling a task that nobody runs."""
    ended = on("cancel", "quality_score")
    assert ended.code == ExitCode.DONE
    assert "no run to cancel" in ended.err


def test_verify_prints_each_query_under_its_heading(on: Backfill, work: Work) -> None:
    """`verify` runs every verification query and is content where every check is ok."""
    work.run(ok=3, failed=1)
    work.connection.execute(
        "update public.images set quality_score = 20 where id = (select id from public.images"
        " where quality_score is not null limit 1)"
    )
    ended = on("verify", "quality_score")
    assert (ended.code, ended.err) == (ExitCode.DONE, "")
    assert "Images in each band of quality" in ended.out.splitlines()
    found = on("verify", "quality_score", "--json").json
    assert found["ok"] is True
    assert {query["name"] for query in found["queries"]} >= {"bands", "checks", "coverage"}


def test_verify_fails_where_a_check_does(on: Backfill, work: Work) -> None:
    """A row that says ok = false ends `verify` with 1 and names the check."""
    work.images(1)
    ended = on("verify", "quality_score")
    assert ended.code == ExitCode.ERROR
    assert "some images have a score (0 of 1)" in ended.err


def test_verify_can_write_nothing(
    on: Backfill, work: Work, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Verification runs where the database itself refuses a write."""
    script = tmp_path / "writes.sql"
    script.write_text("-- Writes\nselect backfill.pause('quality_score');\n")
    monkeypatch.setattr("runner.cli.verify.verification_scripts", lambda _task: [script])
    ended = on("verify", "quality_score")
    assert ended.code == ExitCode.ERROR
    assert "read-only transaction" in ended.err
    assert work.one("select count(*) from backfill.task where paused_at is not null") == 0
