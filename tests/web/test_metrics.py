"""/metrics: what Prometheus reads is what the views say."""

from __future__ import annotations

from prometheus_client.openmetrics import parser

from tests.cli.conftest import Work
from tests.plugins.database import Database
from tests.web.conftest import Web, serving


def values(text: str) -> dict[str, float]:
    """Each sample by its name and labels, as they are written."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_are_what_the_views_say(web: Web) -> None:
    """Rows by state, failures by cause, who works, what is paused, overdue, spent and left."""
    work = Work(web.database)
    work.run(ok=3, failed=2, error_class="http_404")
    work.images(1)
    work.start()
    web.run("select backfill.set_budget('face_index', 25)")
    web.run("select backfill.pause('face_index', 'why')")
    web.run("select backfill.set_guard('old', 'oldest_transaction', p_hold_above => 600)")
    web.run("select backfill.set_schedule('nightly', 'vehicle_images', '0 3 * * *')")
    web.run("update backfill.schedule set planned = true, next_at = now() - interval '90 seconds'")
    found = values(web.ask("GET", "/metrics", by="viewer").text)
    expected = {
        'backfill_rows{state="ok",task="quality_score"}': 3,
        'backfill_rows{state="failed",task="quality_score"}': 2,
        'backfill_rows{state="ready",task="quality_score"}': 1,
        'backfill_failed_rows{error_class="http_404",task="quality_score"}': 2,
        'backfill_remaining_rows{task="quality_score"}': 1,
        'backfill_processes{task="quality_score"}': 1,
        'backfill_paused{task="face_index"}': 1,
        'backfill_paused{task="quality_score"}': 0,
        'backfill_budget_left_usd{per="month",task="face_index"}': 25,
        "backfill_workers": 0,
        'backfill_rate_per_second{rate="host:*"}': 5,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert 90 <= found['backfill_schedule_late_seconds{schedule="nightly"}'] < 120


def test_openmetrics_is_spoken_where_asked_for(web: Web) -> None:
    """A scraper that takes OpenMetrics gets it."""
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = web.ask("GET", "/metrics", headers=headers)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    read = parser.text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    families = {family.name for family in read}
    assert {"backfill_rows", "backfill_info", "backfill_spend_usd"} <= families


def test_metrics_need_a_token_unless_they_are_open(web: Web, web_database: Database) -> None:
    """Without a token there is nothing to see, unless the server was told otherwise."""
    assert web.ask("GET", "/metrics", by="nobody").status_code == 401
    with serving(web_database, open_metrics=True) as opened:
        answer = opened.ask("GET", "/metrics", by="nobody")
        assert answer.status_code == 200
        assert 'backfill_paused{task="face_index"}' in values(answer.text)
        assert opened.ask("GET", "/api/v1/tasks", by="nobody").status_code == 401
