"""A real browser on a real server, with a worker beside it, as people have them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from psycopg.rows import dict_row

from tests.cli.conftest import install_everything
from tests.engine.roles import login
from tests.plugins.database import DatabaseTemplate, NewDatabase
from tests.plugins.processes import Command, StartCommand

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 20_000
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 740}

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Console:
    """A server over a database of its own with every built-in task; pictures are in `folder`."""

    url: str
    login: str
    folder: Path
    command: StartCommand
    connection: psycopg.Connection[dict[str, Any]]
    secrets: dict[str, str] = field(default_factory=dict)
    base: str = ""
    server: Command | None = None

    def do(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """What a statement returns, as the database's owner."""
        cursor = self.connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def secret(self, name: str, role: str) -> str:
        """A new token's secret."""
        made = self.do("select backfill.create_token(%s, %s) as secret", name, role)
        return str(made[0]["secret"])

    def serve(self, port: int = 0) -> None:
        """Start the server, and wait until it answers."""
        self.server = self.command(
            self.login, "serve", "--port", str(port), "--pictures-base-url", str(self.folder),
            "--grace", "1s",
        )  # fmt: skip
        self.server.says("serving on ")
        found = re.search(r"serving on (http://\S+)", self.server.err)
        assert found is not None
        self.base = found[1]

    def work(self) -> Command:
        """Start a worker."""
        return self.command(
            self.url, "worker", "--processes", "1", "--grace", "2s",
            BACKFILL_QUALITY_SCORE_BASE_URL=str(self.folder),
        )  # fmt: skip

    def images(self, good: int, broken: int = 0) -> None:
        """Images whose files are there, and some whose files are none."""
        for number in range(good):
            self.picture(f"good-{number}.jpg")
        for number in range(broken):
            (self.folder / f"broken-{number}.jpg").write_bytes(b"<svg></svg>")
        for name in ("good", "broken"):
            self.do(
                "insert into public.images (url, source_type)"
                " select format('%s-%s.jpg', %s::text, n), 'local_upload'"
                " from generate_series(0, %s - 1) n".replace("%s-%s", "%%s-%%s"),
                name,
                {"good": good, "broken": broken}[name],
            )

    def picture(self, name: str) -> None:
        """A file with a picture."""
        shade = sum(map(ord, name)) % 200
        Image.linear_gradient("L").point([min(v + shade, 255) for v in range(256)]).save(
            self.folder / name
        )


@pytest.fixture
def console(
    database_template: DatabaseTemplate,
    new_database: NewDatabase,
    command: StartCommand,
    tmp_path: Path,
) -> Iterator[Console]:
    """See `Console`; it serves, and no worker works."""
    database = new_database(template=database_template("complete", install_everything))
    folder = tmp_path / "pictures"
    folder.mkdir()
    with ExitStack() as stack:
        conninfo = stack.enter_context(login(database.url, "backfill_server"))
        connection = stack.enter_context(
            psycopg.connect(database.url, autocommit=True, row_factory=dict_row,
                            prepare_threshold=None)
        )  # fmt: skip
        made = Console(database.url, conninfo, folder, command, connection)
        made.serve()
        yield made
        for one in (made.server,):
            if one is not None and one.process.poll() is None:
                one.process.terminate()
                one.ended()


class Pages:
    """Pages of one browser, and what they complain of."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.complaints: list[str] = []

    def __call__(self, **how: Any) -> Page:
        """A page of a new session; what goes wrong in it is in `complaints`."""
        context = self._browser.new_context(**{"viewport": DESKTOP, **how})
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


@pytest.fixture
def pages() -> Iterator[Pages]:
    """See `Pages`. Where there is no browser the test is skipped."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)})")
    # ended with each test: while it runs, its loop is this thread's
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield Pages(browser)
        browser.close()


LogIn = Callable[[Page, str], None]


@pytest.fixture
def log_in(console: Console) -> LogIn:
    """Logs a page in with a secret."""

    def enter(page: Page, secret: str) -> None:
        page.goto(f"{console.base}/login")
        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Tasks").wait_for()

    return enter


def screenshot(page: Page, name: str) -> None:
    """Keep what a page looks like, as an artifact of the tests."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
