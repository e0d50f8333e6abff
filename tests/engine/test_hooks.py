"""Webhooks in the database: what is written when, who may see what, and how often it is tried."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import psycopg
import pytest

from tests.engine.roles import login
from tests.plugins.engine import Connection, Engine, Row, outcome

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


# --- what is written ------------------------------------------------------------------------------


def test_a_run_is_told_of_from_its_start_to_its_end(engine: Engine) -> None:
    """Start, batches and end are messages with the run's counts, each when it is so."""
    hook(engine)
    run, runner = engine.at_work(30)
    (started,) = deliveries(engine)
    assert (started["moment"], started["run"], started["task"]) == ("before_run", run, "sample")
    assert started["body"]["type"] == "run.started"
    facts = started["body"]["data"]
    assert (facts["run"], facts["task"], facts["status"], facts["found"]) == (
        run, "sample", "running", 30,
    )  # fmt: skip

    jobs = engine.claim(runner, 20)["jobs"]
    beat(engine, runner)
    assert not deliveries(engine, moment="after_batch")
    engine.finish(runner, [outcome(job) for job in jobs])
    beat(engine, runner)
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["type"] == "batch.finished"
    assert (batch["body"]["data"]["ok"], batch["body"]["data"]["processed"]) == (20, 20)

    engine.leave(runner)
    (ended,) = deliveries(engine, moment="after_run")
    assert ended["body"]["type"] == "run.ended"
    facts = ended["body"]["data"]
    assert (facts["status"], facts["exit_reason"], facts["ok"]) == ("ended", "done", 20)
    assert facts["ended_at"].endswith("Z")
    assert not engine.rows("select from backfill.run_batch")


def test_what_was_not_told_of_batches_is_told_as_the_run_ends(engine: Engine) -> None:
    """A run that is over between two heartbeats has had its batches."""
    hook(engine)
    _, runner = engine.at_work(3)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner)["jobs"]])
    engine.leave(runner)
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["data"]["ok"] == 3


def test_a_start_that_is_rolled_back_tells_nobody(engine: Engine) -> None:
    """A message is written where what it tells of commits."""
    hook(engine)
    other = engine.connect(autocommit=False)
    begin(engine, on=other)
    other.rollback()
    assert not deliveries(engine)


def test_batches_are_told_once_a_second_whatever_the_processes(engine: Engine) -> None:
    """Two processes' heartbeats within a second are one message, with the counts of both."""
    hook(engine)
    run, first = engine.at_work(20)
    second = engine.join(run, pid=2)
    for runner in (first, second):
        engine.finish(runner, [outcome(job) for job in engine.claim(runner, 10)["jobs"]])
    engine.value("select backfill.heartbeat(%s)", first)
    engine.value("select backfill.heartbeat(%s)", second)
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["data"]["ok"] == 20


def test_the_newest_batch_takes_the_place_of_one_that_waits(engine: Engine) -> None:
    """A server that is away doesn't make a heap of messages, and none it has seen is changed."""
    hook(engine)
    _, runner = engine.at_work(40)
    seen = []
    for _ in range(3):
        engine.finish(runner, [outcome(job) for job in engine.claim(runner, 10)["jobs"]])
        beat(engine, runner)
        seen += [row["id"] for row in deliveries(engine, moment="after_batch")]
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["data"]["ok"] == 30
    assert len(set(seen)) == 3

    being_sent = [row for row in take(engine) if '"batch.finished"' in row["body"]]
    engine.finish(runner, [outcome(job) for job in engine.claim(runner, 10)["jobs"]])
    beat(engine, runner)
    sent, waits = deliveries(engine, moment="after_batch")
    assert (sent["id"], sent["body"]["data"]["ok"]) == (being_sent[0]["id"], 30)
    assert waits["body"]["data"]["ok"] == 40


def test_telling_waits_for_nobody(engine: Engine) -> None:
    """While one process tells, or the run or the webhook is locked, other heartbeats pass."""
    hook(engine)
    run, runner = engine.at_work(10)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner, 5)["jobs"]])
    beat(engine, runner)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner, 5)["jobs"]])
    holder = engine.connect(autocommit=False)
    engine.rows("select from backfill.run_batch where run_id = %s for update", run, on=holder)
    engine.rows("select from backfill.run where id = %s for update", run, on=holder)
    engine.rows("select backfill.set_webhook('team', p_max_attempts => 3)", on=holder)
    other = engine.connect(conninfo=engine.database.direct)
    engine.rows("set lock_timeout = '2s'", on=other)
    engine.rows("update backfill.runner set note = null where false", on=other)
    assert engine.value("select backfill.heartbeat(%s)", runner, on=other) == "live"
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["data"]["ok"] == 5
    holder.rollback()


def test_only_what_was_asked_for_is_told(engine: Engine) -> None:
    """A webhook is told of its moments and its task, and of nothing while it is off."""
    engine.rows("select backfill.register_task('other', 1, 'Another.')")
    hook(engine, "ends", moments=["after_run"])
    hook(engine, "others", task="other")
    hook(engine, "off", enabled=False)
    _, runner = engine.at_work(2)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner)["jobs"]])
    beat(engine, runner)
    engine.leave(runner)
    assert [(row["webhook"], row["moment"]) for row in deliveries(engine)] == [
        ("ends", "after_run")
    ]


def test_without_webhooks_nothing_is_written(engine: Engine) -> None:
    """Runs leave no trace of hooks where nobody is to be told."""
    _, runner = engine.at_work(2)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner)["jobs"]])
    engine.value("select backfill.heartbeat(%s)", runner)
    engine.leave(runner)
    assert not deliveries(engine)
    assert not engine.rows("select from backfill.run_batch")


# --- signing and secrets --------------------------------------------------------------------------


def test_messages_are_signed_after_the_specification(engine: Engine) -> None:
    """The database's signature is what HMAC-SHA256 of id, time and body is anywhere else."""
    secret = hook(engine)
    assert secret is not None
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(key) == 32
    begin(engine)
    (taken,) = take(engine)
    signed = f"{taken['message_id']}.{taken['sent_at']}.{taken['body']}".encode()
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert taken["signature"] == f"v1,{wanted}"
    assert taken["message_id"] == "msg_" + str(taken["id"]).replace("-", "")


@pytest.mark.parametrize("length", [24, 32, 63, 64])
def test_keys_of_every_length_sign(engine: Engine, length: int) -> None:
    """A secret of one's own may have 24 to 64 bytes."""
    key = bytes(range(255, 255 - length, -1))
    secret = "whsec_" + base64.b64encode(key).decode()
    assert hook(engine, secret=secret) is None
    begin(engine)
    (taken,) = take(engine)
    signed = f"{taken['message_id']}.{taken['sent_at']}.{taken['body']}".encode()
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert taken["signature"] == f"v1,{wanted}"


def test_a_new_secret_signs_beside_the_old_one_for_a_while(engine: Engine) -> None:
    """Who receives can change over without losing a message; then the old one is over."""
    old = hook(engine)
    new = engine.value("select backfill.rotate_webhook_secret('team')")
    assert new != old
    begin(engine)
    (taken,) = take(engine)
    assert len(taken["signature"].split()) == 2
    engine.rows("update backfill.webhook set old_until = clock_timestamp()")
    begin(engine)
    (taken,) = take(engine)
    assert len(taken["signature"].split()) == 1


def test_nobody_sees_a_secret_or_an_address(engine: Engine) -> None:
    """Neither views nor the audit have them, nor may anybody read the table."""
    secret = hook(engine)
    assert secret is not None
    hook(engine, url=URL + "&more=HUSH")
    begin(engine)
    (webhook,) = engine.rows("select * from backfill.webhooks")
    assert webhook["host"] == "https://hooks.example/..."
    texts = [
        str(engine.rows(f"select * from backfill.{name}"))
        for name in ("webhooks", "deliveries", "event", "delivery")
    ]
    for word in ("T0PSECRET", "HUSH", secret, base64.b64decode(secret[6:]).hex()):
        assert not any(word in text for text in texts)
    roles = engine.column("select name from backfill.roles()")
    for role in roles:
        query = "select has_any_column_privilege(%s, 'backfill.webhook', 'select')"
        assert not engine.value(query, role), role


def test_operators_set_no_webhook(engine: Engine) -> None:
    """Where messages go is for admins to say: they leave the database for somebody's server."""
    with login(engine.database.direct, "backfill_operator") as url:
        operator = engine.connect(conninfo=url)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            engine.rows("select backfill.set_webhook('x', 'https://x.example')", on=operator)
    with login(engine.database.direct, "backfill_admin") as url:
        admin = engine.connect(conninfo=url)
        engine.rows("select backfill.set_webhook('x', 'https://x.example')", on=admin)
        engine.rows("select backfill.drop_webhook('x')", on=admin)


# --- attempts -------------------------------------------------------------------------------------


def test_a_message_is_tried_again_with_growing_pauses_and_then_given_up(engine: Engine) -> None:
    """What fails waits longer each time; after the last attempt it has failed, and says why."""
    hook(engine, moments=["before_run"], max_attempts=4)
    begin(engine)
    pauses = []
    for attempt in range(1, 5):
        (taken,) = take(engine)
        assert taken["attempt"] == attempt
        assert not take(engine)
        state = note(engine, taken, 500, "HTTP 500 (the server failed)")
        (row,) = deliveries(engine)
        if attempt < 4:
            assert state == row["state"] == "waiting"
            query = "select extract(epoch from due_at - clock_timestamp()) from backfill.delivery"
            pauses.append(float(engine.value(query)))
            engine.rows("update backfill.delivery set due_at = clock_timestamp()")
    assert state == row["state"] == "failed"
    assert (row["status"], row["error"]) == (500, "HTTP 500 (the server failed)")
    assert [round(pause / 5 / 4**n) for n, pause in enumerate(pauses)] == [1, 1, 1]
    assert not take(engine)


def test_a_server_s_own_wish_to_wait_is_obeyed(engine: Engine) -> None:
    """Retry-After makes a pause longer, up to a day."""
    hook(engine, moments=["before_run"])
    begin(engine)
    (taken,) = take(engine)
    note(engine, taken, 429, "HTTP 429", after=3600.0)
    query = "select extract(epoch from due_at - clock_timestamp()) from backfill.delivery"
    assert 3590 < engine.value(query) <= 3600


def test_a_message_whose_sender_died_is_sent_by_another(engine: Engine) -> None:
    """After its time is over it is handed out again with its id; the dead one's word is void."""
    hook(engine, moments=["before_run"])
    begin(engine)
    (lost,) = take(engine, seconds=0)
    (again,) = take(engine)
    assert (again["id"], again["message_id"], again["attempt"]) == (
        lost["id"], lost["message_id"], 2,
    )  # fmt: skip
    assert note(engine, lost, 500, "HTTP 500") is None
    assert note(engine, again, 204, None) == "delivered"
    (row,) = deliveries(engine)
    assert (row["state"], row["status"], row["error"], row["took_ms"]) == (
        "delivered",
        204,
        None,
        7,
    )


def test_two_senders_take_each_message_once(engine: Engine) -> None:
    """What one is taking another one passes over."""
    hook(engine, "a", moments=["before_run"])
    hook(engine, "b", moments=["before_run"])
    begin(engine)
    other = engine.connect(autocommit=False)
    (first,) = engine.rows("select * from backfill.take_deliveries(1)", on=other)
    (second,) = take(engine)
    assert first["id"] != second["id"]
    other.rollback()


def test_a_slow_server_leaves_room_for_others(engine: Engine) -> None:
    """However much waits for one webhook, a sender takes few of it at a time."""
    hook(engine, "slow", moments=["before_run"])
    for _ in range(5):
        begin(engine)
    hook(engine, "quick", moments=["before_run"])
    begin(engine)
    taken = take(engine, 4)
    assert sorted(row["webhook"] for row in taken) == ["quick", "slow", "slow"]


def test_a_server_that_is_gone_turns_its_webhook_off(engine: Engine) -> None:
    """410 is the end of it, as the specification has it; the view and the audit say why."""
    hook(engine, moments=["before_run"])
    begin(engine)
    (taken,) = take(engine)
    assert note(engine, taken, 410, "HTTP 410 (gone for good)") == "failed"
    begin(engine)
    assert len(deliveries(engine)) == 1
    (webhook,) = engine.rows("select * from backfill.webhooks")
    assert (webhook["enabled"], webhook["note"]) == (False, "its server answered 410 (gone)")
    assert engine.events("set_webhook")[-1]["detail"]["note"] == "its server answered 410 (gone)"
    hook(engine, enabled=True)
    (webhook,) = engine.rows("select * from backfill.webhooks")
    assert (webhook["enabled"], webhook["note"]) == (True, None)


def test_what_waits_for_a_webhook_ends_with_it(engine: Engine) -> None:
    """A webhook of the same name that is made later is not sent the old one's messages."""
    hook(engine)
    begin(engine)
    engine.rows("select backfill.drop_webhook('team')")
    hook(engine)
    assert not take(engine)
    (row,) = deliveries(engine)
    assert (row["state"], row["error"]) == ("failed", "the webhook was dropped")


def test_a_webhook_that_is_off_keeps_what_waits(engine: Engine) -> None:
    """It is sent when the webhook is on again; a test is sent at any time, and once."""
    hook(engine, moments=["before_run"])
    begin(engine)
    hook(engine, enabled=False)
    assert not take(engine)
    test = engine.value("select backfill.test_webhook('team')")
    (taken,) = take(engine)
    assert (taken["id"], taken["attempt"]) == (test, 1)
    assert '"test"' in taken["body"]
    assert note(engine, taken, None, "can't connect") == "failed"
    hook(engine, enabled=True)
    assert len(take(engine)) == 1


def test_ended_messages_go_after_a_week(engine: Engine) -> None:
    """What waits stays, whatever its age."""
    hook(engine, moments=["before_run"])
    begin(engine)
    (taken,) = take(engine)
    note(engine, taken, 204, None)
    begin(engine)
    engine.rows(
        "update backfill.delivery set created_at = created_at - interval '8 days',"
        " ended_at = ended_at - interval '8 days'"
    )
    assert engine.value("select backfill.prune_deliveries('9 days')") == 0
    assert engine.value("select backfill.prune_deliveries()") == 1
    (row,) = deliveries(engine)
    assert row["state"] == "waiting"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    ["set_webhook('none')", "drop_webhook('none')", "test_webhook('none')",
     "rotate_webhook_secret('none')"],
)  # fmt: skip
def test_a_webhook_that_is_not_there_is_told(engine: Engine, call: str) -> None:
    """The error has a state of its own, and names it."""
    with pytest.raises(psycopg.Error, match="there is no webhook named 'none'") as error:
        engine.rows(f"select backfill.{call}")
    assert error.value.sqlstate == "BF030"


@pytest.mark.parametrize("secret", ["hush", "whsec_", "whsec_***"])
def test_a_secret_that_is_none_is_refused(engine: Engine, secret: str) -> None:
    """It is whsec_ and base64."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="in base64"):
        hook(engine, secret=secret)
