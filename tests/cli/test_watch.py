"""`backfill watch`: on, off, and what it needs to know."""

from __future__ import annotations

from runner.contract import Input, Task
from runner.database.inputs import declared
from runner.errors import ExitCode
from runner.registry import find
from tests.cli.conftest import Backfill, Work
from tests.plugins.database import Database

TRIGGERS = "select count(*) from pg_trigger where tgname ~ '^backfill_'"


def test_a_built_in_task_knows_its_inputs(
    backfill: Backfill, installed: Database, work: Work
) -> None:
    """Watching a built-in task needs no more than its name; off takes all away again."""
    backfill.use(installed)
    ended = backfill("watch", "quality_score")
    assert (ended.code, ended.out) == (
        ExitCode.DONE, "quality_score does new rows of images first, and changes of url\n",
    )  # fmt: skip
    assert ended.err == "next: backfill run quality_score --follow\n"
    assert work.one(TRIGGERS) == 2
    assert backfill("watch", "quality_score").code == ExitCode.DONE
    assert work.one(TRIGGERS) == 2
    assert backfill("watch", "quality_score", "--off").out == "quality_score is watched no longer\n"
    assert backfill("watch", "quality_score", "--off").out == "quality_score was not watched\n"
    assert work.one(TRIGGERS) == 0


def test_a_migration_declares_the_inputs(
    backfill: Backfill, installed: Database, work: Work
) -> None:
    """A migrated task can be watched from psql; the SQL for review declares inputs, too."""
    assert work.one("select backfill.watch('quality_score')") == 1
    ended = backfill.use(installed)("migrate", "quality_score", "--sql", "--set", "url=Address")
    (line,) = (x for x in ended.out.splitlines() if x.startswith("select backfill.declare_inputs"))
    assert line.endswith("""('quality_score', '"public"."images"'::regclass, 'id', '{Address}');""")


def test_what_nobody_declared_is_asked_for(
    backfill: Backfill, installed: Database, work: Work
) -> None:
    """A task of whose inputs nothing is known is not watched, and the error says how to tell."""
    work.one("select backfill.register_task('by_hand', 1, 'Made in psql.')")
    backfill.use(installed)
    for task, words in (("by_hand", "declare_inputs('by_hand'"), ("nope", "nope")):
        ended = backfill("watch", task)
        assert ended.code == ExitCode.USAGE
        assert words in ended.err


def test_names_are_those_of_the_binding() -> None:
    """Columns that a binding leaves empty are left out; what it lacks is the table's own name."""
    task = find("quality_score")
    binding = {**task.binding, "table": "app.Photos", "url": "Address"}
    assert list(declared(task, binding)) == [
        {
            "task": "quality_score",
            "relation": '"app"."Photos"',
            "key": "id",
            "columns": ["Address"],
        }
    ]
    plain = Task("t", 1, "", task.open, inputs=(Input(("body",), "public.articles", "id"),))
    assert list(declared(plain, {})) == [
        {"task": "t", "relation": "public.articles", "key": "id", "columns": ["body"]}
    ]


def test_to_stay_and_to_stop_at_a_limit_do_not_go_together(
    backfill: Backfill, installed: Database
) -> None:
    """--follow is refused with what would end the run, or narrow it."""
    backfill.use(installed)
    for more in (("--limit", "5"), ("--dry-run",), ("--where", "true")):
        ended = backfill("run", "quality_score", "--follow", *more)
        assert ended.code == ExitCode.USAGE
        assert "--follow" in ended.err
