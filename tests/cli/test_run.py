"""`backfill run`: what its options do, and what it says to people and to programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import sample
from tests.cli.conftest import Backfill
from tests.plugins.processes import SampleDatabase, StartCommand, StartRun

UNRULY = "tests.loop.unruly:task"


@pytest.fixture
def sample_command(
    sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> Backfill:
    """`backfill` in this process, on the database with the sample task."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:task")
    return backfill


def test_json_is_one_object(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """--json prints the summary on stdout as one object of a fixed shape, and nothing beside it."""
    sampled.items(ok=30, skip=2, nothing=3, fail=1)
    command = run_sample(sampled, "--json")
    assert command.ended() == 3
    assert command.err == ""
    found = command.json
    elapsed = found.pop("elapsed_s")
    assert 0 < elapsed < 60
    assert found == {
        "task": "sample", "run_id": 1, "found": 36, "processed": 36, "ok": 30,
        "nothing_found": 3, "skipped": 2, "failed": 1, "spend_usd": 0.0, "exit_reason": "done",
    }  # fmt: skip


def test_nothing_to_do(sampled: SampleDatabase, sample_command: Backfill) -> None:
    """A run that finds nothing says so and is a success."""
    ended = sample_command("run", "sample")
    assert (ended.code, ended.out, ended.err) == (0, "sample: nothing to do\n", "")


def test_failed_rows_are_told_and_taken_up_again(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """The summary lists them with errors; the next run leaves them, --resume takes them up."""
    sampled.items(ok=5, fail=12)
    first = run_sample(sampled)
    assert first.ended() == 3
    lines = first.out.splitlines()
    assert lines[0] == "sample: run 1 is done"
    assert "  failed         12" in lines
    assert sum("impossible: it can't be done" in line for line in lines) == 10
    assert "  ... and 2 more: backfill failures sample" in lines
    assert lines[-1] == "take them up again with: backfill run sample --resume"

    sampled.do("update item set behaviour = 'ok'")
    second = run_sample(sampled)
    assert second.ended() == 0
    assert second.out == "sample: nothing to do\n"
    third = run_sample(sampled, "--resume", "--json")
    assert third.ended() == 0
    assert third.json["ok"] == 12
    sampled.assert_each_written_once()


def test_limit_is_shared_and_exact(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """Four processes together take exactly as many rows as --limit says; a retry is no new row."""
    sampled.items(flaky=20, ok=200)
    command = run_sample(sampled, "--limit", "37", "--workers", "4", "--json")
    assert command.ended() == 0, command.err
    assert (command.json["ok"], command.json["found"]) == (37, 37)
    assert command.json["exit_reason"] == "limit"
    assert sampled.writes() == {1: 37, 0: 183}


def test_where_narrows_the_run(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """--where takes a SQL condition on the view's columns, and only such rows are done."""
    sampled.items(ok=20)
    condition = "native_key between 5 and 8 -- with a comment"
    command = run_sample(sampled, "--where", condition, "--json")
    assert command.ended() == 0
    assert command.json["found"] == command.json["ok"] == 4
    done = sampled.all("select id from item where result is not null order by id")
    assert [row["id"] for row in done] == [5, 6, 7, 8]


@pytest.mark.parametrize("extra", [(), ("--dry-run",)])
def test_bad_conditions_are_usage_errors(
    sampled: SampleDatabase, sample_command: Backfill, extra: tuple[str, ...]
) -> None:
    """A condition that can't be used, or that would write, is refused before anything is done."""
    sampled.items(ok=3)
    sampled.do(
        "create function eraser() returns boolean language plpgsql as"
        " $$ begin delete from public.item; return true; end $$"
    )
    for condition, why in (
        ("nonsense = 1", 'column "nonsense" does not exist'),
        ("key =", "syntax error"),
        ("public.eraser()", "cannot execute DELETE in a read-only transaction"),
    ):
        ended = sample_command("run", "sample", "--where", condition, *extra)
        assert ended.code == 2
        assert ended.err.startswith(f"backfill: --where {condition!r} can't be used: ")
        assert why in ended.err
        assert "condition on the columns of the needs view" in ended.err
    assert sampled.one("select count(*) from backfill.run") == 0
    assert sampled.one("select count(*) from item") == 3


def test_max_duration(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """After --max-duration a run finishes what it holds, says how to go on, and is a success."""
    sampled.items(slow=4000)
    command = run_sample(sampled, "--max-duration", "500ms", "--workers", "2")
    assert command.ended() == 0
    assert "stopped at its longest duration" in command.out
    assert "go on with: backfill run sample" in command.out
    assert sampled.states().keys() == {"ok", "ready"}
    assert sampled.one("select exit_reason from backfill.run") == "max_duration"


def test_join_from_a_second_command(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """A second command works for the first one's run, with its options; each has a summary."""
    sampled.items(slow=400)
    first = run_sample(sampled, "--json")
    first.until(lambda: sampled.done() > 0)
    run = sampled.one("select max(id) from backfill.run")
    second = run_sample(sampled, "--join", str(run), "--json")
    assert (first.ended(), second.ended()) == (0, 0)
    assert first.json["run_id"] == second.json["run_id"] == run
    assert sampled.one("select count(*) from backfill.runner where ok > 0") == 2
    assert sampled.one("select count(*) from backfill.run") == 1
    sampled.assert_each_written_once()


def test_a_joined_run_goes_on_without_one_of_its_commands(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """A command that is interrupted says so, though others go on with its run."""
    sampled.items(slow=1500)
    first = run_sample(sampled)
    first.until(lambda: sampled.done() > 0)
    second = run_sample(sampled, "--join", "1")
    second.until(lambda: len(sampled.live()) == 2)
    first.process.terminate()
    assert first.ended() == 130
    assert "run 1 was interrupted" in first.out
    assert "the run goes on in 1 other process; see: backfill status sample" in first.out
    assert second.process.poll() is None
    second.process.terminate()
    assert second.ended() == 130
    assert "go on with: backfill run sample" in second.out
    assert sampled.one("select status from backfill.run") == "ended"


def test_what_cannot_be_joined(sampled: SampleDatabase, sample_command: Backfill) -> None:
    """A run that isn't there, has ended or is another task's can't be joined, and it says why."""
    assert "there is no run 7" in sample_command("run", "sample", "--join", "7").err
    assert sample_command("run", "sample", "--join", "7").code == 2
    sampled.items(ok=1)
    assert sample_command("run", "sample").code == 0
    ended = sample_command("run", "sample", "--join", "1")
    assert ended.code == 2
    assert "run 1 has ended (done); start another: backfill run sample" in ended.err
    sampled.do("select backfill.register_task('other', 1, 'Another.')")
    sampled.do("create view backfill.needs_other as select * from backfill.needs_sample")
    run = sampled.one("select backfill.start('other', p_source => 'cli')")
    ended = sample_command("run", "sample", "--join", str(run))
    assert (ended.code, f"run {run} is one of other" in ended.err) == (2, True)
    ended = sample_command("run", "sample", "--join", "1", "--limit", "5", "--resume")
    assert ended.code == 2
    assert "--limit, --resume can't be given with --join" in ended.err


@pytest.mark.parametrize(
    "version, said",
    [
        (1, "older than version 2 of this program; run: backfill migrate sample"),
        (3, "newer than version 2 of this program; upgrade pgbackfill here"),
    ],
)
def test_versions_must_agree(
    sampled: SampleDatabase, run_sample: StartRun, version: int, said: str
) -> None:
    """A task of another version than the database's is not run, and it says which to upgrade."""
    sampled.do("update backfill.task set version = %s", version)
    command = run_sample(sampled, tasks="tests.cli.newer:task")
    assert command.ended() == 1
    assert said in command.err
    assert sampled.one("select count(*) from backfill.run") == 0


def test_a_task_that_is_not_installed(sampled: SampleDatabase, sample_command: Backfill) -> None:
    """A task that the database doesn't have is a usage error that says what to type."""
    ended = sample_command("run", "quality_score")
    assert ended.code == 2
    assert "run: backfill migrate quality_score" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments, named",
    [
        (("--batch-size", "0"), "1<=x<=1000"),
        (("--delay", "30001"), "0<=x<=30000"),
        (("--workers", "0"), "1<=x<=256"),
        (("--limit", "-1"), "x>=0"),
        (("--grace", "soon"), "write 90s, 10m or 1h30m"),
    ],
)
def test_out_of_range(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], named: str
) -> None:
    """A value out of range is a usage error that names the range."""
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:task")
    ended = backfill("run", "sample", *arguments)
    assert ended.code == 2
    assert named in ended.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_computations_print_is_kept_apart(
    sampled: SampleDatabase, run_sample: StartRun, workers: str
) -> None:
    """Prints of computations and of libraries below Python go to stderr, away from the summary."""
    sampled.items(print=3)
    command = run_sample(sampled, "--json", "--threads", "1", "--workers", workers, tasks=UNRULY)
    assert command.ended() == 0
    assert command.json["ok"] == 3
    for key in (1, 2, 3):
        assert f"python prints {key}\n" in command.err
        assert f"a library prints {key}\n" in command.err


def test_children_use_the_database_of_the_command(
    sampled: SampleDatabase, command: StartCommand
) -> None:
    """--database-url, --verbose and --log-format hold in every process; `ps` shows no URL."""
    sampled.items(ok=20, slow=60)
    started = command(
        "postgresql://nobody@nowhere.invalid/nothing", "--database-url", sampled.url,
        "--log-format", "json", "--verbose", "run", "sample", "--workers", "2",
    )  # fmt: skip
    started.until(lambda: len(sampled.live()) > 0)
    for pid in started.children():
        shown = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True
        )
        assert "--child" in shown.stdout
        assert sampled.url not in shown.stdout
    assert started.ended() == 0, started.err
    sampled.assert_each_written_once()
    logged = [json.loads(line) for line in started.err.splitlines()]
    assert {line["level"] for line in logged} >= {"info", "debug"}
    assert "ok 7" in [line["message"] for line in logged]


def test_children_are_this_program(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """A folder named runner where the user happens to be is not taken for the program."""
    impostor = Path.cwd() / "runner"
    impostor.mkdir()
    (impostor / "__init__.py").write_text("raise SystemExit('an impostor')")
    sampled.items(ok=5)
    command = run_sample(sampled, "--workers", "2")
    assert command.ended() == 0, command.err
    sampled.assert_each_written_once()


def test_lines_where_there_is_no_terminal(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """Without a terminal stderr is plain lines, and says why when nothing moves."""
    sampled.items(slow=1000)
    command = run_sample(sampled)
    command.until(lambda: sampled.done() > 0)
    sampled.do("select backfill.pause('sample', 'a moment')")
    command.says("paused by postgres: a moment")
    command.process.terminate()
    assert command.ended() == 130
    assert "\x1b" not in command.err + command.out
    first, *rest = command.err.splitlines()
    assert first == "sample: run 1, 1,000 rows to do"
    (paused,) = [line for line in rest if "paused" in line]
    assert paused.startswith("sample: ")
    assert "/1,000 (" in paused
    assert "| ok " in paused
    assert "| elapsed " in paused


def test_json_log_lines(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """With --log-format json every line on stderr is an object, progress and errors included."""
    sampled.items(slow=300, fail=1)
    command = run_sample(sampled, "--log-format", "json", "--workers", "2")
    command.until(lambda: sampled.done() > 0)
    sampled.do("select backfill.pause('sample', 'a moment')")
    command.says("a moment")
    sampled.do("select backfill.resume('sample')")
    assert command.ended() == 3
    lines = [json.loads(line) for line in command.err.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert any("paused by postgres: a moment" in line["message"] for line in lines)

    sampled.do("select backfill.pause('sample', 'again')")
    command = run_sample(sampled, "--log-format", "json")
    assert command.ended() == 4
    (line,) = command.err.splitlines()
    assert json.loads(line)["level"] == "error"


def test_the_task_of_these_tests_is_the_sample() -> None:
    """The newer version that tests need differs from the sample in nothing else."""
    from tests.cli import newer

    assert newer.task.name == sample.task.name
    assert newer.task.version == sample.task.version + 1
