"""/metrics for Prometheus: what the views say, read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from runner import __version__
from runner.web.api.common import ANYWHERE, Authenticated, Viewer, problems
from runner.web.database import Database, Row
from runner.web.principal import NOBODY, Principal

STATES = ("ok", "nothing_found", "skipped", "failed", "ready", "running")
LEVELS = {"clear": 0, "slow": 1, "hold": 2}

_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Metrics in the text format, or in OpenMetrics' where Accept asks for it.",
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "application/openmetrics-text": {"schema": {"type": "string"}},
        },
    }
}


def mount(app: FastAPI, *, open_to_all: bool) -> None:
    """Add the address; whoever asks needs a token of any role unless it is `open_to_all`."""

    def answer(request: Request, who: Principal) -> Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Said(_read(request.app.state.database, who)))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    def for_tokens(request: Request, who: Viewer) -> Response:
        return answer(request, who)

    def for_all(request: Request) -> Response:
        return answer(request, NOBODY)

    router = APIRouter(tags=["health"], route_class=APIRoute if open_to_all else Authenticated)
    router.add_api_route(
        "/metrics",
        for_all if open_to_all else for_tokens,
        operation_id="read_metrics",
        summary="Metrics for Prometheus",
        description="How far tasks are, who works, what holds them back, what was spent.",
        response_class=PlainTextResponse,
        responses={**_ANSWER, **problems(*(("unavailable",) if open_to_all else ANYWHERE))},
    )
    app.include_router(router)


class _Said(Collector):
    """Metrics that were read already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _read(database: Database, who: Principal) -> Iterator[Metric]:
    """All metrics, from one transaction."""
    with database.transaction(who, read_only=True) as calls:
        yield from _about_tasks(calls.call("web_tasks", task=None))
        yield _gauge(
            "failed_rows", "Rows that failed for good, by cause", ("task", "error_class"),
            calls.call("failure_causes", task=None), "rows",
        )  # fmt: skip
        stalled = calls.call("stalled", task=None)
        yield _gauge(
            "silent_processes", "Processes without a sign of life for ten seconds", ("task",),
            [{"task": t, "n": n} for t, n in _count(stalled, "task").items()], "n",
        )  # fmt: skip
        yield from _about_workers(calls.call("web_workers"))
        yield from _about_money(calls.call("web_spent"), calls.call("budgets", task=None))
        yield from _about_limits(
            calls.call("guards", guard=None, task=None), calls.call("web_rates", name=None)
        )
        yield _lateness(calls.call("web_schedules", task=None, name=None))
        yield _gauge(
            "arrivals_waiting", "New rows of watched tasks that wait, up to 1,000", ("task",),
            _each(calls.call("web_watches", task=None), "task"), "waiting",
        )  # fmt: skip
        engine = calls.one("web_engine")["engine"]
    info = GaugeMetricFamily(
        "backfill_info", "The program and its schema", labels=("version", "engine")
    )
    info.add_metric((__version__, engine or ""), 1)
    yield info


def _about_tasks(tasks: list[Row]) -> Iterator[Metric]:
    rows = GaugeMetricFamily(
        "backfill_rows", "Rows of a task in each state", labels=("task", "state")
    )
    for task in tasks:
        for state in STATES:
            rows.add_metric((task["task"], state), task[state])
    yield rows
    yield _gauge("remaining_rows", "Rows still to be done", ("task",), tasks, "remaining")
    yield _gauge(
        "rows_per_minute", "Rows a minute, over up to five", ("task",), tasks, "per_minute"
    )
    yield _gauge("processes", "Processes that work for a task", ("task",), tasks, "processes")
    yield _gauge("eta_seconds", "Time left at this rate", ("task",), tasks, "eta")
    paused = [{"task": task["task"], "paused": task["paused_at"] is not None} for task in tasks]
    yield _gauge("paused", "Whether a task is paused", ("task",), paused, "paused")


def _about_workers(workers: list[Row]) -> Iterator[Metric]:
    live = [worker for worker in workers if worker["status"] == "live"]
    for name, words, value in (
        ("workers", "Live workers", len(live)),
        ("worker_slots", "Processes that workers run at most", sum(w["slots"] for w in live)),
        ("worker_slots_busy", "Processes that workers run", sum(w["busy"] for w in live)),
    ):
        yield GaugeMetricFamily(f"backfill_{name}", words, value=value)


def _about_money(spent: list[Row], budgets: list[Row]) -> Iterator[Metric]:
    usd = CounterMetricFamily("backfill_spend_usd", "US dollars that calls cost", labels=("task",))
    for row in spent:
        usd.add_metric((row["task"],), float(row["usd"]))
    yield usd
    of_tasks = [row for row in budgets if row["run"] is None]
    yield _gauge("budget_left_usd", "US dollars left", ("task", "per"), of_tasks, "left_usd")


def _about_limits(guards: list[Row], rates: list[Row]) -> Iterator[Metric]:
    levels = [{"guard": g["name"], "level": LEVELS.get(g["state"])} for g in guards]
    yield _gauge("guard_level", "0: clear, 1: slows, 2: holds", ("guard",), levels, "level")
    named = [{**rate, "rate": rate["name"]} for rate in rates]
    yield _gauge(
        "rate_per_second", "Calls a second that are allowed now", ("rate",), named, "per_second"
    )
    yield _gauge(
        "rate_calls_waiting", "Calls that wait for a rate", ("rate",), named, "calls_waiting"
    )


def _lateness(schedules: list[Row]) -> Metric:
    words = "Seconds that a schedule's next tick is overdue"
    late = [{**row, "schedule": row["name"]} for row in schedules if row["enabled"]]
    return _gauge("schedule_late_seconds", words, ("schedule",), late, "late_s")


def _gauge(
    name: str, words: str, labels: tuple[str, ...], rows: Iterable[Mapping[str, Any]], value: str
) -> Metric:
    """A gauge with a value for each row; rows without a value have none."""
    metric = GaugeMetricFamily(f"backfill_{name}", words, labels=labels)
    for row in rows:
        found = row[value]
        if found is None:
            continue
        number = found.total_seconds() if hasattr(found, "total_seconds") else float(found)
        metric.add_metric([str(row[label]) for label in labels], number)
    return metric


def _count(rows: list[Row], column: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[column]] = counts.get(row[column], 0) + 1
    return counts


def _each(rows: list[Row], column: str) -> list[Row]:
    """The first row for each value of the column."""
    found: dict[Any, Row] = {}
    for row in rows:
        found.setdefault(row[column], row)
    return list(found.values())
