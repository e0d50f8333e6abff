"""Webhooks: who may see what, how messages are signed, and how often they are tried."""

from __future__ import annotations

import base64
import hashlib
import hmac

import psycopg
import pytest

from tests.engine.hooking import URL, begin, deliveries, hook, note, take
from tests.engine.roles import login
from tests.plugins.engine import Engine

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
