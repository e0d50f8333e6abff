"""The project's pages, and a database that they speak of."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from runner.database import migrate
from runner.database.files import sql_folder
from runner.registry import find
from tests.cli.conftest import install_face_index
from tests.docs.pages import Page, all_pages
from tests.image_signals.payments import install_with_uuids as install_image_signals
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase
from tests.vehicle_images.vehicles_install import install as install_vehicle_images


@pytest.fixture(scope="session")
def pages() -> list[Page]:
    """README, CHANGELOG and everything in docs/."""
    return all_pages()


@pytest.fixture(scope="session")
def example(pages: list[Page]) -> Page:
    """The page with the worked example of a task."""
    (page,) = [page for page in pages if page.name == "docs/task-contract.md"]
    return page


@pytest.fixture
def example_installed(
    example: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The example's task can be asked for in this process."""
    for block in example.blocks:
        if block.file == "fingerprint.py":
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("BACKFILL_TASKS", "fingerprint:task")
    root, ours = logging.getLogger(), logging.getLogger("runner")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    sys.modules.pop("fingerprint", None)


@pytest.fixture
def spoken_of(
    example: Page, database_template: DatabaseTemplate, new_database: NewDatabase
) -> Database:
    """A database with the engine, the built-in tasks and the example's task installed."""

    def build(url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute((sql_folder() / "demo" / "application.sql").read_bytes())
        migrate.upgrade(url, [find("quality_score")], {})
        install_image_signals(url)
        install_vehicle_images(url)
        install_face_index(url)
        with psycopg.connect(url) as connection:
            for block in example.blocks:
                if block.file is not None and block.file.endswith(".sql"):
                    connection.execute(block.text.encode())

    return new_database(template=database_template("docs", build))
