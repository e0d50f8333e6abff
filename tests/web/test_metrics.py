"""/metrics: what Prometheus reads is what the views say."""

from __future__ import annotations

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from tests.cli.conftest import Work
from tests.plugins.database import Database
from tests.web.conftest import Web, serving


def values(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parsed(text)
        for sample in family.samples
    }


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
    web.run("update backfill.schedule set next_at = now() - interval '90 seconds'")
    found = values(web.ask("GET", "/metrics", by="viewer").text)
    expected = {
        ("backfill_rows", "quality_score", "ok"): 3,
        ("backfill_rows", "quality_score", "failed"): 2,
        ("backfill_rows", "quality_score", "ready"): 1,
        ("backfill_failed_rows", "quality_score", "http_404"): 2,
        ("backfill_remaining_rows", "quality_score"): 1,
        ("backfill_processes", "quality_score"): 1,
        ("backfill_paused", "face_index"): 1,
        ("backfill_paused", "quality_score"): 0,
        ("backfill_budget_left_usd", "face_index", "month"): 25,
        ("backfill_workers",): 0,
        ("backfill_rate_per_second", "host:*"): 5,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert 90 <= found["backfill_schedule_late_seconds", "nightly"] < 120


def test_openmetrics_is_spoken_where_asked_for(web: Web) -> None:
    """A scraper that takes OpenMetrics gets it."""
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = web.ask("GET", "/metrics", headers=headers)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name for family in openmetrics.text_string_to_metric_families(answer.text)}
    assert {"backfill_rows", "backfill_info", "backfill_spend_usd"} <= families


def test_metrics_need_a_token_unless_they_are_open(web: Web, web_database: Database) -> None:
    """Without a token there is nothing to see, unless the server was told otherwise."""
    assert web.ask("GET", "/metrics", by="nobody").status_code == 401
    with serving(web_database, open_metrics=True) as opened:
        answer = opened.ask("GET", "/metrics", by="nobody")
        assert answer.status_code == 200
        assert ("backfill_paused", "face_index") in values(answer.text)
        assert opened.ask("GET", "/api/v1/tasks", by="nobody").status_code == 401
