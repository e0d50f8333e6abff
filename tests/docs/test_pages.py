"""What the pages say is there is there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from runner.database import migrate
from runner.registry import find
from tests.docs.example import Shown, consoles, promised, run
from tests.docs.pages import ROOT, Page, read
from tests.plugins.database import Database

OBJECT = re.compile(r"\bbackfill\.([a-z_][a-z0-9_]*[a-z0-9])\b(?!\.)")
CODE = re.compile(r"(?:code=|Exception\": )\"([a-z0-9_]+)\"")
STATES = {
    "job": "job_state_is_known",
    "run": "run_status_is_known",
    "runner": "runner_status_is_known",
}


def page_named(pages: list[Page], name: str) -> Page:
    """The page at this path."""
    (page,) = [page for page in pages if page.name == name]
    return page


def test_links_lead_somewhere(pages: list[Page]) -> None:
    """Every relative link names a file that exists, and a heading that stands in it."""
    broken = []
    for page in pages:
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            place, _, anchor = link.partition("#")
            target = (page.path.parent / place).resolve() if place else page.path
            if not target.exists() or (anchor and anchor not in read(target).anchors):
                broken.append(f"{page.name}: {link}")
    assert broken == []


def test_every_page_is_linked(pages: list[Page]) -> None:
    """Every page can be reached from the README."""
    by_path = {page.path: page for page in pages}
    reached: set[Path] = set()
    pending = [ROOT / "README.md"]
    while pending:
        path = pending.pop()
        if path in reached or path not in by_path:
            continue
        reached.add(path)
        places = (link.partition("#")[0] for link in by_path[path].links)
        pending += [(path.parent / place).resolve() for place in places if place]
    assert sorted(page.name for page in pages if page.path not in reached) == []


def test_files_that_are_named_exist(pages: list[Page]) -> None:
    """Every path into sql/, migrations/, runner/, docs/ or tests/ in a sentence exists."""
    missing = [
        f"{page.name}: {code}"
        for page in pages
        for code in page.inline
        if re.fullmatch(r"(sql|migrations|runner|docs|tests|\.ci)/[\w./-]*", code)
        and not (ROOT / code).exists()
    ]
    assert missing == []


def test_database_objects_exist(pages: list[Page], spoken_of: Database) -> None:
    """Every `backfill.<name>` that a page mentions is in a migrated database."""
    query = """
        select relname from pg_class where relnamespace = 'backfill'::regnamespace
        union select proname from pg_proc where pronamespace = 'backfill'::regnamespace"""
    known = {name for (name,) in spoken_of.connect().execute(query)}
    unknown = {
        (page.name, name)
        for page in pages
        for name in OBJECT.findall(page.text)
        # a task's name to come: backfill.needs_<task>
        if name not in known and f"backfill.{name}_<" not in page.text
    }
    assert sorted(unknown) == []


def test_queries_are_valid(pages: list[Page], spoken_of: Database) -> None:
    """Every query that a page shows can be planned: its tables, columns and functions exist."""
    connection = spoken_of.connect(autocommit=True)
    wrong, count = [], 0
    for page in pages:
        for query in (query for block in page.blocks for query in block.queries()):
            count += 1
            try:
                connection.execute(sql.SQL("explain ") + sql.SQL(query))
            except psycopg.Error as error:
                wrong.append(f"{page.name}: {query}: {error}")
    assert wrong == []
    assert count > 10


@pytest.mark.parametrize("place, what", list(enumerate(STATES)))
def test_diagrams_have_every_state(
    pages: list[Page], spoken_of: Database, place: int, what: str
) -> None:
    """A diagram's states are those that the database allows."""
    page = page_named(pages, "docs/state-machine.md")
    diagram = [block.text for block in page.blocks if block.language == "mermaid"][place]
    drawn = set(re.findall(r"(\w+) -->", diagram)) | set(re.findall(r"--> (\w+):", diagram))
    query = "select pg_get_constraintdef(oid) from pg_constraint where conname = %s"
    row = spoken_of.connect().execute(query, [STATES[what]]).fetchone()
    assert row is not None
    assert drawn == set(re.findall(r"'(\w+)'", row[0]))


def test_defaults_are_true(pages: list[Page], spoken_of: Database) -> None:
    """The table of a task's limits gives each column's default as the database has it."""
    page = page_named(pages, "docs/state-machine.md")
    _, _, table = page.text.partition("## Limits and defaults")
    told = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE)
    connection = spoken_of.connect()
    connection.execute("insert into backfill.task (name) values ('plain')")
    for column, default in told:
        kind = "interval" if " " in default else "integer"
        row = connection.execute(
            sql.SQL("select {0} = {1}::{2} from backfill.task where name = 'plain'").format(
                sql.Identifier(column), sql.Literal(default), sql.SQL(kind)
            )
        ).fetchone()
        assert row == (True,), column
    assert len(told) == 8


@pytest.mark.parametrize(
    "parts, page, least",
    [
        (("fetch", "pictures", "tasks/quality_score"), "docs/quality-score.md", 20),
        (("faces", "tasks/face_index"), "docs/face-index.md", 15),
    ],
)
def test_error_classes_are_explained(
    pages: list[Page], parts: tuple[str, ...], page: str, least: int
) -> None:
    """A task's page explains every class that its rows can fail with."""
    sources = [path for part in parts for path in (ROOT / "runner" / part).rglob("*.py")]
    classes = {code for path in sources for code in CODE.findall(path.read_text(encoding="utf-8"))}
    table = page_named(pages, page).text
    assert sorted(code for code in classes if f"`{code}`" not in table) == []
    assert len(classes) >= least


def test_example_does_what_it_says(example: Page, database: Database, tmp_path: Path) -> None:
    """The worked example runs as it stands, and prints what the page says, but for times."""
    printed = run(example, database.url, tmp_path)
    for block, shown in zip(consoles(example), printed, strict=True):
        assert _timeless(shown) == _timeless(promised(block))


@pytest.mark.usefixtures("example_installed")
def test_example_can_be_migrated(example: Page, database: Database, tmp_path: Path) -> None:
    """The example's alembic revision installs its SQL, and takes it out again."""
    for block in example.blocks:
        if block.file is not None:
            path = tmp_path / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    connection = database.connect(autocommit=True)
    connection.execute((tmp_path / "articles.sql").read_bytes())
    columns = """
        select attname from pg_attribute
         where attrelid = 'articles'::regclass and attnum > 0 and not attisdropped"""
    before = connection.execute(columns).fetchall()
    task = replace(find("fingerprint"), migrations=tmp_path / "revisions")
    migrate.upgrade(database.url, [task], {})
    pending = connection.execute("select pending from backfill.count_pending('fingerprint')")
    assert pending.fetchone() == (4,)
    migrate.downgrade(database.url, [task])
    assert connection.execute(columns).fetchall() == before


def _timeless(shown: list[Shown]) -> list[Shown]:
    return [one.without_times() for one in shown]
