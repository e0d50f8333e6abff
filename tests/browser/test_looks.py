"""Every page in light and dark, on a desk and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from psycopg.types.json import Jsonb

from runner.web.pages.faces import PLACE as FACES
from tests.bench.receipts import any_receipt
from tests.bench.receipts_edits import edited, encode
from tests.browser.conftest import PHONE, Console, LogIn, Pages, screenshot
from tests.cli.conftest import Work
from tests.engine.past import past_run
from tests.plugins.database import Database
from tests.plugins.waiting import wait_until

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

PICTURES = {"faces": 1, "duplicates": 2}
"""How many a page shows."""

SENT = """performance.getEntriesByType("resource").filter(
    one => ["img", "image"].includes(one.initiatorType) && one.responseStatus === 200).length"""

WRONG = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")


@pytest.fixture
def filled(console: Console) -> Console:
    """With results, failures, a schedule, a window, a face to name and a run that was paid for."""
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
    _payments(console)
    console.do(
        "insert into public.assets (user_id, storage_url) values (%s, 'other.jpg')", row["user_id"]
    )
    past_run(console.connection, "face_index", rows=40, minutes=9, calls={"IndexFaces": 40})
    console.do("select backfill.set_budget('face_index', 0.0005)")
    console.do("select backfill.set_schedule('nightly', 'quality_score', '0 22 * * *')")
    console.do("select backfill.set_window('quality_score', '22:00', '06:00', 'Europe/Berlin')")
    return console


def _payments(console: Console) -> None:
    """A receipt, and a smaller copy of it that somebody else handed in."""
    receipt = any_receipt("one", "hero")
    image = receipt.draw()
    copy = edited(image, "resize 50 %, jpeg 60", "s", receipt.bar_share)
    for day, content in enumerate((encode(image, "PNG"), copy)):
        (console.folder / f"receipt-{day}").write_bytes(content)
        console.do(
            "insert into payment_submissions (flat_id, screenshot_url, created_at)"
            " values (%s, %s, now() + make_interval(days => %s))",
            f"flat {day}", f"receipt-{day}", day,
        )  # fmt: skip
    ended = console.command(
        console.url, "run", "image_signals", "--base-url", str(console.folder), "--delay", "0"
    )
    assert ended.ended() == 0, ended.err


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
            _check(page, f"{name}-{look}", PICTURES.get(name, 0))
        page.goto(f"{filled.base}/tasks/face_index")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_text("enough for about 0 rows")).to_be_visible()
        _check(page, f"confirm-{look}")
        page.context.close()
    assert [one for one in pages.complaints if "404" not in one] == []


def _check(page: Page, name: str, pictures: int = 0) -> None:
    wait_until(lambda: page.evaluate(SENT) == pictures)
    screenshot(page, name)
    assert page.evaluate(WRONG) == [], name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
