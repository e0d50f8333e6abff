"""How often somebody may try to log in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.access import create_token, log_in, sha256
from tests.engine.roles import login
from tests.plugins.engine import Connection, Engine

GUESSES = """
select l.reason, count(*) from generate_series(1, %s) i
 cross join lateral backfill.log_in(sha256(int4send(i)), %s, format(%s, i), '1 hour') l
 group by 1
"""


@pytest.fixture
def conninfo(engine: Engine) -> Iterator[str]:
    """The web server's login."""
    with login(engine.database.url, "backfill_server") as made:
        yield made


@pytest.fixture
def server(engine: Engine, conninfo: str) -> Connection:
    """A session of it."""
    return engine.connect(conninfo=conninfo)


def guess(engine: Engine, server: Connection, times: int, source: str) -> dict[str, int]:
    """Log in with wrong secrets, each from this address with a number put in; the outcomes."""
    rows = engine.rows(GUESSES, times, sha256("none"), source, on=server)
    return {row["reason"]: row["count"] for row in rows}


def elapse(engine: Engine, seconds: float) -> None:
    """Let this much time have passed since the last failures."""
    engine.rows(
        "update backfill.login_failure set at = at - make_interval(secs => %s)", float(seconds)
    )


def test_an_address_has_ten_tries(engine: Engine, server: Connection) -> None:
    """Then one each 30 seconds; meanwhile it is told how long to wait, the right secret counts as
    little as any other, and trying does not make it longer. Others are not held up.
    """
    secret = create_token(engine, "ci")
    assert guess(engine, server, 13, "192.0.2.1") == {"unknown": 10, "too many": 3}
    held = log_in(engine, secret, "cookie", on=server)
    assert (held["reason"], held["name"]) == ("too many", None)
    assert 28 <= held["wait_seconds"] <= 30
    assert log_in(engine, secret, "other", source="192.0.2.2", on=server)["reason"] is None
    elapse(engine, 20)
    held = log_in(engine, secret, "cookie", on=server)
    assert 8 <= held["wait_seconds"] <= 10
    elapse(engine, 10)
    assert log_in(engine, secret, "cookie", on=server)["reason"] is None
    # a success is not counted, and does not wipe the failures out
    assert guess(engine, server, 3, "192.0.2.1") == {"unknown": 1, "too many": 2}


def test_tries_at_the_same_time_are_all_counted(engine: Engine, conninfo: str) -> None:
    """Of many at once no more than ten are looked at."""
    sessions = [engine.connect(conninfo=conninfo) for _ in range(8)]
    futures = [engine.meanwhile(guess, engine, on, 5, "192.0.2.1") for on in sessions]
    done = [future.result() for future in futures]
    assert sum(one.get("unknown", 0) for one in done) == 10
    assert sum(one.get("too many", 0) for one in done) == 30


def test_guesses_from_everywhere_are_limited_too(engine: Engine, server: Connection) -> None:
    """A hundred, then one a second; who has been here before still gets in."""
    secret = create_token(engine, "ci")
    assert log_in(engine, secret, "mine", source="192.0.2.1", on=server)["reason"] is None
    outcome = guess(engine, server, 120, "2001:db8:%s::1")
    assert outcome["unknown"] in range(100, 105)
    assert outcome["unknown"] + outcome["too many"] == 120
    stranger = log_in(engine, secret, "new", source="192.0.2.9", on=server)
    assert (stranger["reason"], stranger["wait_seconds"]) == ("too many", 1)
    assert log_in(engine, secret, "again", source="192.0.2.1", on=server)["reason"] is None


def test_one_address_locks_nobody_else_out(engine: Engine, server: Connection) -> None:
    """However often it tries: what is refused for its own count adds nothing to that of all. Nor
    does a try that is refused for the count of all add to an address's own.
    """
    secret = create_token(engine, "ci")
    assert guess(engine, server, 300, "192.0.2.1") == {"unknown": 10, "too many": 290}
    assert log_in(engine, secret, "new", source="192.0.2.9", on=server)["reason"] is None
    engine.rows(
        "update backfill.login_failure set level = 100, at = clock_timestamp() where source = ''"
    )
    assert guess(engine, server, 30, "192.0.2.7") == {"too many": 30}
    elapse(engine, 60)
    assert log_in(engine, secret, "later", source="192.0.2.7", on=server)["reason"] is None
    assert engine.column("select source from backfill.login_failure") == ["", "192.0.2.1"]


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("", "unknown", True),
        ("not an address", "x" * 500, False),
    ],
)
def test_an_address_is_what_one_person_has(
    engine: Engine, one: str, other: str, same: bool
) -> None:
    """An IPv4 address however it is written, and of IPv6 the network; anything else as it is. None
    is taken for the count of all addresses.
    """
    sources = [engine.value("select backfill.login_source(%s)", text) for text in (one, other)]
    assert (sources[0] == sources[1]) is same
    assert all(0 < len(source) <= 100 for source in sources)


def test_too_many_failures_are_told_once(engine: Engine, server: Connection) -> None:
    """The audit has one row in ten minutes for an address, however hard it tries."""
    guess(engine, server, 30, "192.0.2.1")
    assert [row["detail"] for row in engine.events("too_many_logins")] == [{"from": "192.0.2.1"}]
    elapse(engine, 600)
    engine.rows("update backfill.login_failure set told_at = told_at - interval '601 seconds'")
    guess(engine, server, 30, "192.0.2.1")
    assert len(engine.events("too_many_logins")) == 2
