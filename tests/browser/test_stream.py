"""What a page does while the server is away."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Console, LogIn, Pages


@pytest.mark.slow
def test_a_page_goes_on_by_itself_after_the_server_was_away(
    console: Console, pages: Pages, log_in: LogIn
) -> None:
    """It says that it isn't live, then catches up on the log without a gap or a line twice. A
    revoked token ends it, and it says so, even if the stream has no time to.
    """
    page = pages()
    log_in(page, console.secret("ann", "viewer"))
    page.goto(f"{console.base}/tasks/quality_score")
    live = page.locator('[data-live="live"]')
    log = page.get_by_role("list", name="Activity")
    console.do("select backfill.pause('quality_score', 'before')")
    expect(log).to_contain_text("before")
    expect(live).to_have_text("Live")

    assert console.server is not None
    console.server.process.kill()
    console.server.ended()
    expect(live).to_contain_text("Not live")
    console.do("select backfill.pause('quality_score', 'meanwhile')")
    console.serve(urlsplit(console.base).port or 0)
    expect(live).to_have_text("Live")
    expect(log).to_contain_text("meanwhile")
    expect(page.locator('[data-live="wait_reason"]')).to_contain_text("meanwhile")
    for reason in ("before", "meanwhile"):
        assert log.inner_text().count(reason) == 1

    silent = pages()
    log_in(silent, console.secret("ben", "viewer"))
    silent.route("**/stream?*", lambda route: route.fulfill(status=401))
    silent.goto(f"{console.base}/tasks/quality_score")
    expect(silent.locator('[data-live="live"]')).to_contain_text("Not live")
    console.do("select backfill.revoke_token('ben')")
    console.do("select backfill.revoke_token('ann')")
    expect(silent.locator('[data-live="live"]')).to_contain_text("You are logged out")
    expect(live).to_contain_text("You are logged out")
    assert all("ERR_" in one or "Failed to load" in one for one in pages.complaints)
