"""What the command line promises whatever the command is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli.group import COMMANDS, cli
from runner.errors import ExitCode
from tests.cli.conftest import Backfill, Work
from tests.plugins.database import Database
from tests.plugins.waiting import wait_until

COMMAND = [sys.executable, "-m", "runner.cli"]
ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_help_imports_no_driver() -> None:
    """`backfill --help` answers at once: it imports neither driver nor migrations nor pictures."""
    script = (
        "import sys, runner.cli as c; c.main(['--help']);"
        "slow = {'psycopg', 'alembic', 'sqlalchemy', 'rich', 'PIL', 'httpx', 'importlib.metadata'};"
        "print(sorted(slow & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_there(name: str) -> None:
    """Every command of the list can be imported, and has help of its own."""
    import click

    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help


def test_unknown_command_names_the_close_one(backfill: Backfill) -> None:
    """A mistyped command is a usage error that says which one was meant."""
    ended = backfill("statsu")
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert "did you mean status?" in ended.err


def test_out_of_range_names_the_range(backfill: Backfill) -> None:
    """An option out of range is a usage error of one line that names the range."""
    ended = backfill("status", "--watch", "0")
    assert ended.code == ExitCode.USAGE
    assert "0.2<=x<=3600" in ended.err
    assert ended.err.startswith("backfill: ")
    assert ended.err.count("\n") == 1


def test_no_database_says_where_to_name_one(backfill: Backfill) -> None:
    """Without any database named, the error says how to name one."""
    ended = backfill("status")
    assert ended.code == ExitCode.USAGE
    assert "set DATABASE_URL" in ended.err


def test_unreachable_database_keeps_the_password(backfill: Backfill) -> None:
    """A database that can't be reached ends with its own exit code, on one line, no password."""
    ended = backfill("--database-url", "postgresql://me:hush@127.0.0.1:1/x?a=b", "status")
    assert ended.code == ExitCode.USAGE
    ended = backfill("--database-url", "postgresql://me:hush@127.0.0.1:1/x", "status")
    assert ended.code == ExitCode.UNREACHABLE
    assert ended.err.count("\n") == 1
    assert "127.0.0.1:1" in ended.err
    assert "hush" not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [("--database-url", "{url}", "status"), ("status", "--database-url", "{url}")],
)
def test_global_options_stand_anywhere(
    backfill: Backfill, installed: Database, arguments: tuple[str, ...]
) -> None:
    """Global options are taken before the command and after it."""
    ended = backfill(*(argument.format(url=installed.url) for argument in arguments))
    assert ended.code == ExitCode.DONE
    assert "quality_score: idle" in ended.out


def test_dotenv_names_the_database(installed: Database, tmp_path: Path) -> None:
    """DATABASE_URL is read from `.env` in the current directory, and the environment wins."""
    (tmp_path / ".env").write_text(f"DATABASE_URL={installed.url}\n")
    assert run("status").returncode == ExitCode.DONE
    other = "postgresql://127.0.0.1:1/x"
    assert run("status", DATABASE_URL=other).returncode == ExitCode.UNREACHABLE


def test_not_installed_says_what_to_run(backfill: Backfill, database: Database) -> None:
    """A database without pgbackfill is told from other trouble."""
    ended = backfill.use(database)("status")
    assert ended.code == ExitCode.ERROR
    assert "not installed in this database" in ended.err
    assert ended.err.strip().endswith("run: backfill migrate")


@pytest.mark.parametrize("verbose", [True, False])
def test_unexpected_error_is_one_line(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch, verbose: bool
) -> None:
    """An error nobody thought of is one line without secrets; the traceback takes --verbose."""

    def fail() -> None:
        raise RuntimeError("lost postgresql://me:hush@db/x?sslkey=hush")

    monkeypatch.setattr("runner.registry.all_tasks", fail)
    ended = backfill("tasks", *(["--verbose"] if verbose else []))
    assert ended.code == ExitCode.ERROR
    assert "unexpected error: RuntimeError: lost postgresql://***@db/x?***" in ended.err
    assert "hush" not in ended.err
    assert ("Traceback" in ended.err) is verbose
    assert ("--verbose for the traceback" in ended.err) is not verbose


def test_json_log_holds_nothing_else(backfill: Backfill, installed: Database) -> None:
    """With --log-format json every line on stderr is a JSON object, errors and notes included."""
    backfill.use(installed)
    for arguments in (["failures"], ["cancel", "77"], ["migrate", "--check", "nothing"]):
        ended = backfill(*arguments, "--log-format", "json")
        (line,) = ended.err.splitlines()
        assert set(json.loads(line)) == {"time", "level", "logger", "message"}


def test_reader_that_left_is_no_error(work: Work, installed: Database) -> None:
    """`backfill failures | head` ends quietly when head has seen enough."""
    work.run(failed=50)
    with subprocess.Popen(
        [*COMMAND, "failures", "--json", "--limit", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": installed.url},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == ExitCode.DONE


def test_interrupt_has_its_exit_code(installed: Database) -> None:
    """Ctrl-C ends a command with 130 and one word, not with a traceback."""
    with subprocess.Popen(
        [*COMMAND, "status", "--watch", "3600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": installed.url},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline().startswith("quality_score")
            watching = installed.connect(autocommit=True)
            wait_until(
                lambda: (
                    watching.execute(
                        "select from pg_stat_activity where application_name = 'backfill status'"
                        " and state = 'idle' and query ~ 'backfill.event'"
                    ).rowcount
                )
            )
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == "backfill: interrupted\n"
            assert process.wait() == ExitCode.INTERRUPTED
        finally:
            process.kill()


def test_version_is_told(backfill: Backfill) -> None:
    """`--version` prints the version and nothing else."""
    ended = backfill("--version")
    assert (ended.code, ended.err) == (ExitCode.DONE, "")
    assert ended.out.startswith("backfill ")
