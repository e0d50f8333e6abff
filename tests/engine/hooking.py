"""Setting webhooks, taking what is due, and what cannot be."""

from __future__ import annotations

from typing import Any

from tests.plugins.engine import Connection, Engine, Row

URL = "https://hooks.example/services/T0PSECRET?key=HUSH"
ALL = ["before_run", "after_batch", "after_run"]


def hook(engine: Engine, name: str = "team", **options: Any) -> str | None:
    """Set a webhook; its secret, where it is new."""
    options = {"url": URL, "moments": ALL, **options}
    names = ", ".join(f"p_{key} => %s" for key in options)
    secret: str | None = engine.value(
        f"select backfill.set_webhook(%s, {names})", name, *options.values()
    )
    return secret


def begin(engine: Engine, *, on: Connection | None = None) -> int:
    """Start a run as a command does, which may stand beside others; its number."""
    return int(engine.value("select backfill.start('sample', p_source => 'cli')", on=on))


def deliveries(engine: Engine, **where: Any) -> list[Row]:
    """Deliveries, the oldest first."""
    rows = engine.rows("select * from backfill.deliveries order by created_at, moment")
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def take(engine: Engine, most: int = 10, **options: Any) -> list[Row]:
    """Take what is due."""
    return engine.rows(
        "select * from backfill.take_deliveries(%s, make_interval(secs => %s))",
        most,
        float(options.get("seconds", 60)),
    )


def note(engine: Engine, taken: Row, status: int | None, error: str | None, **more: Any) -> str:
    """Take down what came of it; the delivery's state."""
    state: str = engine.value(
        "select backfill.note_delivery(%s, %s, %s, %s, 7, %s)",
        taken["id"], taken["attempt"], status, error, more.get("after"),
    )  # fmt: skip
    return state


def beat(engine: Engine, runner: int) -> None:
    """A heartbeat; another second has gone by since batches were told of."""
    engine.rows("update backfill.run_batch set told_at = told_at - interval '1 second'")
    assert engine.value("select backfill.heartbeat(%s)", runner) == "live"


_WEBHOOK = (
    "insert into backfill.webhook (name, url, moments, secret{0})"
    " values ('x', 'https://x.example/', array['after_run'], decode(repeat('00', 32), 'hex'){1})"
)
_DELIVERY = (
    "insert into backfill.delivery (webhook, moment, body{0}) values ('x', 'test', '{{}}'{1})"
)
_COMMAND = (
    "insert into backfill.run_command (run_id, moment, host, pid, due_at{0})"
    " values (1, 'after_run', 'x', 1, now(){1})"
)

IMPOSSIBLE = [
    (_WEBHOOK.format("", "").replace("'x',", "'X',", 1), "webhook_name_is_a_word"),
    (_WEBHOOK.format("", "").replace("https:", "ftp:"), "webhook_url_is_http"),
    (_WEBHOOK.format("", "").replace("x.example/", "me:pw@x.example/"), "webhook_url_is_http"),
    (_WEBHOOK.format("", "").replace("x.example/", "x.example/a b"), "webhook_url_is_http"),
    (_WEBHOOK.format("", "").replace("x.example/", "/nowhere"), "webhook_url_is_http"),
    (_WEBHOOK.format("", "").replace("after_run", "sometimes"), "webhook_moments_are_known"),
    (_WEBHOOK.format("", "").replace("array['after_run']", "'{}'"), "webhook_moments_are_known"),
    (_WEBHOOK.format(", max_attempts", ", 0"), "webhook_max_attempts_in_range"),
    (_WEBHOOK.format("", "").replace("32", "23"), "webhook_secret_is_long_enough"),
    (_WEBHOOK.format("", "").replace("32", "65"), "webhook_secret_is_long_enough"),
    (_WEBHOOK.format(", old_until", ", now()"), "webhook_old_secret_ends"),
    (_DELIVERY.format("", "").replace("test", "never"), "delivery_moment_is_known"),
    (_DELIVERY.format(", state, ended_at", ", 'lost', now()"), "delivery_state_is_known"),
    (_DELIVERY.format(", ended_at", ", now()"), "delivery_ended_says_when"),
    (_DELIVERY.format(", state", ", 'delivered'"), "delivery_ended_says_when"),
    (_DELIVERY.format(", state, ended_at", ", 'failed', now()"), "delivery_failed_says_why"),
    (_DELIVERY.format(", attempts", ", -1"), "delivery_attempts_are_not_negative"),
    (_COMMAND.format("", "").replace("after_run", "after_batch"), "run_command_moment_is_known"),
    (_COMMAND.format(", state, ended_at", ", 'lost', now()"), "run_command_state_is_known"),
    (_COMMAND.format(", ended_at", ", now()"), "run_command_ended_says_when"),
    (_COMMAND.format(", state", ", 'done'"), "run_command_ended_says_when"),
    (_COMMAND.format(", state, ended_at", ", 'failed', now()"), "run_command_failed_says_why"),
    (_COMMAND.format(", error", ", 'x'"), "run_command_failed_says_why"),
]
"""Statements, and the constraint that refuses each."""
