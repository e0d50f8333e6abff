"""What `backfill menu` promises to whoever would rather pick than type."""

from __future__ import annotations

import re
import signal
from dataclasses import replace

import pytest

from runner.cli.menu import arguments
from runner.contract import Option, Pacing, Task
from runner.errors import ExitCode
from tests import sample
from tests.cli.conftest import Backfill
from tests.plugins.database import Database
from tests.plugins.processes import SampleDatabase
from tests.plugins.terminal import OpenTerminal, Terminal

_STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ACTION = "What to do? "


def shown(terminal: Terminal) -> str:
    """What a terminal showed, without colours and with single spaces."""
    return " ".join(_STYLE.sub("", terminal.text).split())


def pick(terminal: Terminal, question: str, answer: str) -> None:
    """Answer a question once it is asked."""
    terminal.shows(question)
    terminal.types(f"{answer}\n")


@pytest.fixture
def asked(backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    """The command line in this process, with answers on stdin as if from a terminal."""
    monkeypatch.setattr("runner.cli.menu.can_ask", lambda: True)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:task")
    return backfill


@pytest.fixture
def on_sample(
    asked: Backfill, sampled: SampleDatabase, monkeypatch: pytest.MonkeyPatch
) -> Backfill:
    """The same, on the database of the sample task."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    return asked


def test_dry_run_comes_back_to_the_menu(sampled: SampleDatabase, terminal: OpenTerminal) -> None:
    """A dry run is shown as a command, changes nothing, and is followed by the menu again."""
    sampled.items(ok=7)
    opened = terminal(sampled.url, "menu")
    pick(opened, ACTION, "1")
    opened.shows("dry run, nothing is changed")
    pick(opened, "5  cancel\r\n" + ACTION, "5")
    assert opened.ended() == ExitCode.CANCELLED
    text = shown(opened)
    assert "sample has rows to do" in text
    assert "$ backfill run sample --dry-run" in text
    assert text.count("test run: 10 rows") == 2
    assert sampled.states() == {}


def test_everything_is_asked_about_first(sampled: SampleDatabase, terminal: OpenTerminal) -> None:
    """Everything is processed after a yes, by the command that is shown; no arguments: the menu."""
    sampled.items(ok=7, fail=1)
    opened = terminal(sampled.url)
    pick(opened, ACTION, "2")
    pick(opened, "sample: process everything? [y/N]", "y")
    assert opened.ended() == ExitCode.FAILED_ITEMS
    assert "$ backfill run sample\r\n" in _STYLE.sub("", opened.text)
    assert sampled.states() == {"ok": 7, "failed": 1}


def test_everything_takes_a_yes(sampled: SampleDatabase, on_sample: Backfill) -> None:
    """Enter alone is a no: nothing is processed, and the exit code says so."""
    sampled.items(ok=2)
    ended = on_sample("menu", answer="2\n\n")
    assert ended.code == ExitCode.CANCELLED
    assert "sample: process everything? [y/N]" in ended.err
    assert "nothing was changed" in ended.err
    assert sampled.states() == {}


def test_a_condition_is_passed_on(sampled: SampleDatabase, on_sample: Backfill) -> None:
    """Where a task knows no users a condition is asked for; blanks, which would be all, are not."""
    sampled.items(ok=5)
    ended = on_sample("menu", answer="3\n  \nnative_key > 3\n")
    assert ended.code == ExitCode.DONE
    assert ended.out.count("Condition, in SQL, on the needs view: ") == 2
    assert "nothing was given" in ended.out
    assert "$ backfill run sample --where 'native_key > 3'\n" in ended.out
    assert sampled.states() == {"ok": 2}


def test_test_run_takes_ten(sampled: SampleDatabase, on_sample: Backfill) -> None:
    """A test run takes ten rows, and options given to the menu go on to the command."""
    sampled.items(ok=30)
    secret = f"{sampled.url}&application_name=hush"
    ended = on_sample("menu", "--threads", "2", "--database-url", secret, answer="4\n")
    assert ended.code == ExitCode.DONE
    (line,) = [line for line in ended.out.splitlines() if line.startswith("$ ")]
    assert re.fullmatch(r"\$ backfill --database-url .* run sample --threads 2 --limit 10", line)
    assert "hush" not in ended.out
    assert sampled.writes() == {0: 20, 1: 10}


def test_mistakes_are_asked_about_again(sampled: SampleDatabase, on_sample: Backfill) -> None:
    """An answer that is none of the numbers is told, and the question asked again."""
    ended = on_sample("menu", answer="nine\n9\n5\n")
    assert ended.code == ExitCode.CANCELLED
    assert "'nine' is not a valid" in ended.out
    assert "9 is not in the range 1<=x<=5" in ended.out
    assert re.search("sample +nothing to do", ended.out)


@pytest.mark.parametrize("leave", ["ctrl-c", "ctrl-d"])
def test_leaving_is_clean(sampled: SampleDatabase, terminal: OpenTerminal, leave: str) -> None:
    """Ctrl-C and the end of input leave with 130 and one word on a line of its own."""
    opened = terminal(sampled.url, "menu")
    opened.shows(ACTION)
    if leave == "ctrl-c":
        opened.process.send_signal(signal.SIGINT)
    else:
        opened.types("\x04")
    assert opened.ended() == ExitCode.INTERRUPTED
    assert opened.text.endswith("\r\nbackfill: interrupted\r\n")
    assert "Traceback" not in opened.text


def test_interrupted_run_has_its_own_code(sampled: SampleDatabase, terminal: OpenTerminal) -> None:
    """Ctrl-C while the picked command works ends it as it would without the menu."""
    sampled.items(slow=2000)
    opened = terminal(sampled.url, "menu")
    pick(opened, ACTION, "2")
    pick(opened, "process everything?", "y")
    opened.shows("eta ")
    opened.process.send_signal(signal.SIGINT)
    assert opened.ended() == ExitCode.INTERRUPTED
    assert "run 1 was interrupted" in shown(opened)


def test_tasks_are_listed_with_their_state(complete: Database, asked: Backfill) -> None:
    """Several tasks are numbered, and each says whether it has anything to do, or why it can't."""
    connection = complete.connect(autocommit=True)
    connection.execute("insert into public.images (url, source_type) values ('x.jpg', 'url')")
    connection.execute("select backfill.pause('vehicle_images')")
    connection.execute("alter view backfill.needs_image_signals rename to gone")
    names = [name for (name,) in connection.execute("select name from backfill.task order by name")]
    pick_scores = names.index("quality_score") + 1
    ended = asked.use(complete)("menu", answer=f"{pick_scores}\n1\n5\n")
    assert ended.code == ExitCode.CANCELLED
    for words in ("image_signals +can't tell: relation", f"{pick_scores} +quality_score +has rows",
                  "vehicle_images +paused by postgres", "quality_score: dry run"):  # fmt: skip
        assert re.search(words, ended.out), words


def test_needs_a_terminal(backfill: Backfill, installed: Database) -> None:
    """Without a terminal there is no menu: it says what to run, and no arguments are still help."""
    ended = backfill.use(installed)("menu", answer="1\n")
    assert ended.code == ExitCode.USAGE
    assert "backfill run TASK --dry-run" in ended.err
    ended = backfill()
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert ended.err.startswith("Usage: backfill [OPTIONS] COMMAND")
    assert "\n  menu  " in ended.err


@pytest.mark.parametrize(
    "prepare, code, words",
    [
        ("", ExitCode.ERROR, "not installed in this database"),
        ("migrate", ExitCode.USAGE, "no task is installed"),
    ],
)
def test_without_tasks(
    asked: Backfill, database: Database, prepare: str, code: int, words: str
) -> None:
    """Where nothing is migrated, or no task is, the error is one line with what to run."""
    if prepare:
        assert asked.use(database)(prepare).code == ExitCode.DONE
    ended = asked.use(database)("menu", answer="1\n")
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.count("\n") == 1
    assert words in ended.err
    assert "backfill migrate" in ended.err


def test_commands_of_the_actions() -> None:
    """Each action is one command: a user where the task has users, and no default limit for all."""
    users = Task(
        name="faces", version=1, summary="", open=sample.task.open,
        options=(Option("user_id", ""),), pacing=Pacing(limit_by="user_id"),
    )  # fmt: skip
    some = replace(sample.task, pacing=Pacing(limit=100))
    assert arguments(users, "one", "u1") == ("--user-id", "u1")
    assert arguments(some, "one", "a = 1") == ("--where", "a = 1")
    assert arguments(users, "all") == ()
    assert arguments(some, "all") == ("--limit", "0")
    assert arguments(users, "test") == ("--limit", "10")
