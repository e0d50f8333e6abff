"""The whole way in a real browser: log in, start, watch, pause, resume, mend, retry."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Console, LogIn, Pages, screenshot

GOOD, BROKEN = 60, 3


@pytest.mark.slow
def test_a_run_from_its_start_to_the_retry_of_what_failed(
    console: Console, pages: Pages, log_in: LogIn
) -> None:
    """Start, pause and resume it on the page, see the counters reach the end, mend the broken
    pictures, retry them, and read all of it in the activity log.
    """
    console.images(GOOD, BROKEN)
    console.do("update backfill.task set batch_size = 5, delay_ms = 400")
    console.work()
    page = pages()
    log_in(page, console.secret("ann", "operator"))
    page.get_by_role("link", name="quality_score").click()
    counter = {
        name: page.locator(f'[data-live="{name}"]')
        for name in ("total", "done", "ok", "skipped", "failed", "badge", "live", "wait_reason")
    }
    log = page.get_by_role("list", name="Activity")
    expect(counter["live"]).to_have_text("Live")
    expect(log).to_contain_text("batch_size is now 5")

    page.get_by_text("Options of the next run").click()
    page.get_by_label("Label").fill("Finch")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("status").first).to_have_text("Run 1 was started.")
    expect(log).to_contain_text(f"Found {GOOD + BROKEN} images to process")
    expect(counter["done"]).not_to_have_text("0")
    screenshot(page, "task-running-light")

    page.get_by_role("button", name="Pause").click()
    expect(counter["badge"]).to_have_text("paused")
    expect(counter["wait_reason"]).to_have_text("Paused by ann")
    expect(log).to_contain_text("aused by ann")
    assert int(counter["done"].inner_text()) < GOOD
    page.get_by_role("button", name="Resume").click()

    expect(counter["done"]).to_have_text(str(GOOD + BROKEN))
    expect(counter["badge"]).to_have_text("idle")
    expect(counter["ok"]).to_have_text(str(GOOD))
    expect(counter["failed"]).to_have_text(str(BROKEN))
    expect(log).to_contain_text(re.compile(r"Processed \S+ - Score \d+"))
    expect(log).to_contain_text(re.compile(r"Failed \S+ - .*not a picture"))
    expect(log).to_contain_text("Backfill completed successfully!")
    causes = page.get_by_role("region", name="Failures by cause")
    expect(causes).to_contain_text(f"{BROKEN} rows")
    row = page.get_by_role("region", name="Last runs").get_by_role("row").nth(1)
    expect(row).to_contain_text(str(GOOD + BROKEN))
    screenshot(page, "task-failed-light")

    for number in range(BROKEN):
        console.picture(f"broken-{number}.jpg")
    causes.get_by_role("button", name="Retry not_a_picture").click()
    expect(page.get_by_role("status").first).to_contain_text(f"{BROKEN} failed rows are ready")
    page.get_by_text("Options of the next run").click()
    page.get_by_role("link", name="Fill in as in run 1").click()
    expect(page.get_by_label("Label")).to_have_value("Finch")
    page.get_by_role("button", name="Start").click()
    expect(counter["ok"]).to_have_text(str(GOOD + BROKEN))
    expect(counter["failed"]).to_have_text("0")
    expect(causes).to_contain_text("No row has failed.")
    assert pages.complaints == []
    said = console.do(
        "select distinct action, coalesce(token, who) as who from backfill.event"
        " where action in ('start', 'pause', 'resume', 'retry') order by 1"
    )
    assert {(one["action"], one["who"]) for one in said} == {
        (action, "ann") for action in ("start", "pause", "resume", "retry")
    }
