"""Whose name is on record: the token's for whom the server acts, and nobody else's word for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.engine.access import acting
from tests.engine.roles import login
from tests.plugins.engine import Engine


@pytest.fixture
def logins(engine: Engine) -> Iterator[dict[str, str]]:
    """Connection strings of the web server's login, and of others."""
    with ExitStack() as stack:
        yield {
            word: stack.enter_context(login(engine.database.url, f"backfill_{word}"))
            for word in ("server", "operator", "runner", "admin")
        }


def user(conninfo: str) -> str:
    """The login's name."""
    return str(psycopg.conninfo.conninfo_to_dict(conninfo)["user"])


def test_what_a_token_does_is_on_record_under_its_name(
    engine: Engine, logins: dict[str, str]
) -> None:
    """Beside the server's login: in the audit, and wherever a table says who."""
    on = engine.connect(conninfo=logins["server"])
    with acting(on, "backfill_operator", "ann"):
        run = engine.start(on=on)
        engine.rows("select backfill.pause('sample', 'lunch')", on=on)
        engine.rows("select backfill.set_budget('sample', 5)", on=on)
        engine.rows("select backfill.set_budget('sample', 6)", on=on)
        engine.rows("select backfill.set_rate('rekognition', 2)", on=on)
        engine.rows("update backfill.task set batch_size = 7", on=on)
    said = engine.rows(
        "select action, who, token from backfill.event where token is not null order by id"
    )
    assert [event["action"] for event in said] == [
        "start", "pause", "set_budget", "set_budget", "set_rate", "set",
    ]  # fmt: skip
    assert {(event["who"], event["token"]) for event in said} == {(user(logins["server"]), "ann")}
    started = engine.one("select requested_by, token from backfill.run where id = %s", run)
    assert started == {"requested_by": "ann", "token": "ann"}
    assert engine.progress()["wait_reason"] == "paused by ann: lunch"
    assert engine.value("select set_by from backfill.task_budget") == "ann"
    assert (
        engine.value("select set_by from backfill.rate_limit where name = 'rekognition'") == "ann"
    )


@pytest.mark.parametrize("word", ["operator", "runner", "admin"])
def test_nobody_else_gives_himself_a_tokens_name(
    engine: Engine, logins: dict[str, str], word: str
) -> None:
    """A login that is no member of backfill_server sets what it likes; the audit has its own name
    and no token's, also where it takes another role on or says so as it connects.
    """
    on = engine.connect(conninfo=logins[word])
    start = "select backfill.start('sample', p_source => 'cli')"
    with acting(on, f"backfill_{word}", "ann"):
        engine.rows(start, on=on)
    on.execute("set backfill.token = 'ann'")
    engine.rows(start, on=on)
    on.execute("reset backfill.token")
    ran = engine.rows("select requested_by, token from backfill.run")
    assert ran == [{"requested_by": user(logins[word]), "token": None}] * 2
    assert engine.value("select count(*) from backfill.event where token is not null") == 0


def test_no_name_is_given_as_a_connection_begins(engine: Engine, logins: dict[str, str]) -> None:
    """Neither by an option of the connection, nor by a setting of the login itself."""
    if engine.database.pooled:
        pytest.skip("a pooler refuses options")
    engine.rows(f"alter role {user(logins['operator'])} set backfill.token = 'ann'")
    for conninfo in (
        make_conninfo(logins["runner"], options="-c backfill.token=ann"),
        logins["operator"],
    ):
        with psycopg.connect(conninfo, autocommit=True) as on:
            assert on.execute("select current_setting('backfill.token')").fetchone() == ("ann",)
            assert on.execute("select backfill.token_name()").fetchone() == (None,)


def test_without_a_token_the_server_is_itself(engine: Engine, logins: dict[str, str]) -> None:
    """An empty setting, as is left behind by a transaction that had one, is no name."""
    on = engine.connect(conninfo=logins["server"])
    with acting(on, "backfill_operator"):
        run = engine.start(on=on)
    started = engine.one("select requested_by, token from backfill.run where id = %s", run)
    assert started == {"requested_by": user(logins["server"]), "token": None}
