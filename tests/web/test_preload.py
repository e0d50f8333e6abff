"""What a server and a worker read from the package's files once they are there: nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import BaseLoader

from runner.database import files
from runner.web.app import create_app
from runner.web.pages import rendering
from runner.web.settings import Settings
from runner.worker.seat import ChildCommand
from runner.worker.service import Worker, WorkerOptions


def worker() -> None:
    """Make a worker that never connects."""
    Worker("", {}, WorkerOptions(1), ChildCommand(lambda *_: [], {}), threading.Event())


def server() -> None:
    """Make a server that never connects."""
    create_app(Settings(""))


@pytest.mark.parametrize("make", [worker, server])
def test_an_upgrade_takes_no_statement_away(
    make: Callable[[], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was started before goes on with the statements that it came with."""
    names = [path.stem for path in (files.sql_folder() / "runtime").glob("*.sql")]
    files.statement.cache_clear()
    make()
    monkeypatch.setattr(files, "sql_folder", lambda: tmp_path)
    assert "web_ready" in names
    assert all(files.statement(name) for name in names)


def test_an_upgrade_takes_no_page_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server goes on with the templates that it came with, whether they change or vanish."""
    rendering._environment.cache_clear()
    server()
    environment = rendering._environment()
    names = environment.list_templates()

    def gone(*_: object) -> None:
        raise AssertionError("a template was read")

    monkeypatch.setattr("jinja2.Template.is_up_to_date", property(lambda _: False))
    assert isinstance(environment.loader, BaseLoader)
    monkeypatch.setattr(environment.loader, "get_source", gone)
    assert "task.html" in names
    for name in names:
        assert environment.get_template(name).name == name
