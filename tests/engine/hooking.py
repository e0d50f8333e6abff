"""Webhooks, deliveries and commands that cannot be."""

from __future__ import annotations

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
