"""Pages without what not everybody has: scripts, a mouse."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from runner.web.pages import words
from tests.browser.conftest import Console, LogIn, Pages, screenshot


def test_neither_scripts_nor_a_mouse_are_needed(
    console: Console, pages: Pages, log_in: LogIn
) -> None:
    """A browser that runs no script starts, pauses, resumes and cancels. With the keyboard alone
    the first Tab offers to skip to the content, a question has the focus, and Escape is a no.
    """
    console.images(1)
    secret = console.secret("ann", "operator")
    plain = pages(java_script_enabled=False)
    log_in(plain, secret)
    plain.get_by_role("link", name="quality_score").click()
    plain.get_by_role("button", name="Start").click()
    expect(plain.get_by_role("status").first).to_have_text("Run 1 was started.")

    page = pages()
    log_in(page, secret)
    page.goto(f"{console.base}/tasks/quality_score")
    _ask_with_the_keyboard(page)
    screenshot(page, "question-light")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert console.do("select status from backfill.run")[0]["status"] == "running"

    plain.get_by_role("button", name="Pause").click()
    expect(plain.locator('[data-live="badge"]')).to_have_text("paused")
    plain.get_by_role("button", name="Resume").click()
    plain.get_by_role("button", name="Cancel run 1").click()
    expect(plain.get_by_role("status").first).to_contain_text("Run 1 is being cancelled")
    expect(plain.get_by_role("region", name="Last runs")).to_contain_text("cancelled")
    plain.get_by_role("button", name="Log out").click()
    expect(plain.get_by_role("status")).to_have_text("You are logged out.")
    plain.goto(f"{console.base}/tasks/quality_score")
    expect(plain.get_by_role("heading", name="Log in")).to_be_visible()

    # the other page saw all of it without being loaded anew
    runs = page.get_by_role("region", name="Last runs")
    expect(runs).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    _compare_words(page)
    assert pages.complaints == []


def _compare_words(page: Page) -> None:
    """Scripts write numbers as the server does, so that nothing changes its form as it moves."""
    numbers = [None, 0, 7, 12.5, 99.96, 100.4, 1234, 1234567.8]
    lengths = [None, 0, 0.2, 1, 9.94, 9.96, 59.6, 60, 3599, 3600, 90061, 172800]
    script = """async ([numbers, lengths]) => {
        const words = await import("/static/words.js");
        return [numbers.map(words.number), numbers.map(words.percent), lengths.map(words.duration)];
    }"""
    assert page.evaluate(script, [numbers, lengths]) == [
        [words.number(one) for one in numbers],
        [words.percent(one) for one in numbers],
        [words.duration(one) for one in lengths],
    ]


def _ask_with_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    cancel = page.get_by_role("button", name="Cancel run 1")
    for _ in range(10):
        page.keyboard.press("Tab")
        if cancel.evaluate("(one) => one === document.activeElement"):
            break
    expect(cancel).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("what is done stays done")
    expect(page.get_by_role("button", name="Don't")).to_be_focused()
