"""Every page in light and dark, on a desk and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from psycopg.types.json import Jsonb

from runner.web.pages.faces import PLACE as FACES
from tests.browser.conftest import PHONE, Console, LogIn, Pages, screenshot
from tests.cli.conftest import Work
from tests.plugins.database import Database

PATHS = {
    "home": "/",
    "task": "/tasks/quality_score",
    "failures": "/tasks/quality_score/failures",
    "scores": "/tasks/quality_score/scores",
    "duplicates": "/tasks/image_signals/duplicates?kind=duplicate",
    "faces": FACES,
    "runs": "/runs",
    "run": "/runs/1",
    "audit": "/events",
    "tokens": "/tokens",
    "missing": "/tasks/nope",
}
IN_THE_DARK = ("task", "run", "faces", "tokens")
"""Pages with every colour that there is."""
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "is_mobile": True, "has_touch": True},
}
LONG = "a" * 60

WRONG = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")


@pytest.fixture
def filled(console: Console) -> Console:
    """With results, failures, a schedule, a window and a face to name."""
    work = Work(Database("", console.url, console.url))
    work.run(ok=40, failed=3)
    work.run(failed=1, error_class=LONG)
    work.connection.close()
    console.do(
        "update public.images set quality_score = 10 + random() * 80 where quality_score > 0"
    )
    console.picture("face.jpg")
    (row,) = console.do(
        "with made as (insert into public.users (name) values ('Ann') returning id)"
        " insert into public.assets (user_id, storage_url) select id, 'face.jpg' from made"
        " returning id, user_id"
    )
    console.do(
        "insert into faces (user_id, asset_id, rekognition_face_id, bounding_box, confidence)"
        " values (%s, %s, 'one', %s, 0.99)",
        row["user_id"], row["id"], Jsonb({"Left": 0.2, "Top": 0.2, "Width": 0.4, "Height": 0.4}),
    )  # fmt: skip
    console.do("select backfill.set_schedule('nightly', 'quality_score', '0 22 * * *')")
    console.do("select backfill.set_window('quality_score', '22:00', '06:00', 'Europe/Berlin')")
    return console


@pytest.mark.slow
def test_every_page_can_be_read(filled: Console, pages: Pages, log_in: LogIn) -> None:
    """At any width nothing sticks out, texts have the contrast of WCAG AA, and nothing complains;
    what each page looks like is kept as an artifact.
    """
    secret = filled.secret("ann", "admin")
    for look, how in LOOKS.items():
        page = pages(**how)
        page.goto(f"{filled.base}/login")
        _check(page, f"login-{look}")
        log_in(page, secret)
        for name, path in PATHS.items():
            if look == "dark" and name not in IN_THE_DARK:
                continue
            page.goto(f"{filled.base}{path}")
            if name == "task":
                page.get_by_text("Options of the next run").click()
                expect(page.locator('[data-live="live"]')).to_have_text("Live")
            if name == "faces":
                # downloaded, cut, and sent
                expect(page.locator("img")).not_to_have_js_property("naturalWidth", 0)
            _check(page, f"{name}-{look}")
        page.context.close()
    assert [one for one in pages.complaints if "404" not in one] == []


def _check(page: Page, name: str) -> None:
    screenshot(page, name)
    assert page.evaluate(WRONG) == [], name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
