"""Tokens and log-ins: what the database keeps of them, and whom it lets in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.engine.access import PG_ROLE, authenticate, create_token, log_in, session_of, sha256
from tests.engine.roles import login
from tests.plugins.engine import Connection, Engine

REFUSED = psycopg.errors.InsufficientPrivilege


@pytest.fixture
def server(engine: Engine) -> Iterator[Connection]:
    """A session of the web server's login."""
    with login(engine.database.url, "backfill_server") as conninfo:
        yield engine.connect(conninfo=conninfo)


def refused(engine: Engine, statement: str, *parameters: Any, on: Connection | None = None) -> str:
    """The SQLSTATE of what this statement is refused with."""
    with pytest.raises(psycopg.Error) as caught:
        engine.rows(statement, *parameters, on=on)
    return str(caught.value.sqlstate)


# --- tokens -----------------------------------------------------------------------------------


def test_a_secret_is_told_once_and_kept_nowhere(engine: Engine) -> None:
    """It is 256 random bits in base64url; of all that the database holds, only its hash is left."""
    secret, other = create_token(engine, "ci", "operator"), create_token(engine, "cd")
    for one in (secret, other):
        assert re.fullmatch(r"bft_[A-Za-z0-9_-]{43}", one)
    assert secret != other
    tables = engine.column(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'backfill'"
    )
    for table in tables:
        found = engine.column(f"select t::text from {table} t")
        assert not [row for row in found if secret in row or secret[4:] in row], table
    kept = engine.value("select hash from backfill.token where name = 'ci'")
    assert bytes(kept) == sha256(secret)


@pytest.mark.parametrize("role", PG_ROLE)
def test_a_token_is_known_by_its_secret(engine: Engine, server: Connection, role: str) -> None:
    """With the role that its requests take on; any other secret is nobody's."""
    secret = create_token(engine, "ci", role)
    (found,) = authenticate(engine, secret, on=server)
    assert (found["name"], found["role"], found["pg_role"]) == ("ci", role, PG_ROLE[role])
    assert found["reason"] is None
    assert found["token"] == engine.value("select id from backfill.tokens")
    for wrong in (secret[:-1], secret + "x", secret.upper(), "", "bft_"):
        assert authenticate(engine, wrong, on=server) == []


def test_revoked_and_expired_tokens_are_refused(engine: Engine, server: Connection) -> None:
    """With the reason, from then on."""
    secret = create_token(engine, "ci", valid="1 hour")
    assert authenticate(engine, secret, on=server)[0]["reason"] is None
    engine.rows("update backfill.token set created_at = '-infinity', expires_at = now()")
    assert authenticate(engine, secret, on=server)[0]["reason"] == "expired"
    engine.rows("select backfill.revoke_token('ci')")
    assert authenticate(engine, secret, on=server)[0]["reason"] == "revoked"
    assert engine.column("select state from backfill.tokens") == ["revoked"]


def test_a_name_is_one_live_tokens(engine: Engine) -> None:
    """It can be given again once the token that had it is revoked or has expired."""
    make = "select backfill.create_token('ci', 'viewer', '1 hour')"
    engine.rows(make)
    assert refused(engine, make) == "BF020"
    engine.rows("select backfill.revoke_token('ci')")
    engine.rows(make)
    engine.rows("update backfill.token set created_at = '-infinity', expires_at = now()")
    engine.rows(make)
    states = engine.column("select state from backfill.tokens order by id")
    assert states == ["revoked", "revoked", "live"]
    assert refused(engine, "select backfill.revoke_token('cd')") == "BF020"


@pytest.mark.parametrize(
    "name", ["", "CI", "-ci", "two words", "process 1 on host", "c" * 64, "c\n", "<b>", "é"]
)
def test_what_is_no_name_is_refused(engine: Engine, name: str) -> None:
    """A name is one plain word, which nobody takes for another or for a process."""
    assert refused(engine, "select backfill.create_token(%s, 'viewer')", name) == "BF020"


def test_no_token_is_named_like_a_database_user(engine: Engine) -> None:
    """In the audit and as who started a run, the two could not be told apart."""
    user = engine.value("select session_user::text")
    assert refused(engine, "select backfill.create_token(%s, 'viewer')", user) == "BF020"


def test_tokens_are_made_in_the_audit(engine: Engine) -> None:
    """Who made and revoked which, and when; not its secret."""
    create_token(engine, "ci", "operator")
    engine.rows("select backfill.revoke_token('ci')")
    (made,), (revoked,) = engine.events("create_token"), engine.events("revoke_token")
    assert (made["action"], made["detail"]) == ("create_token", {"name": "ci", "role": "operator"})
    assert (revoked["action"], revoked["detail"]) == ("revoke_token", {"name": "ci"})
    assert made["who"] == engine.value("select created_by from backfill.tokens")


def test_use_is_noted_once_a_minute(engine: Engine, server: Connection) -> None:
    """And by nobody who would have to wait for it, or who may not write."""
    secret = create_token(engine, "ci")
    noted = "select last_used_at from backfill.tokens"
    authenticate(engine, secret, on=server)
    first = engine.value(noted)
    authenticate(engine, secret, on=server)
    assert engine.value(noted) == first
    engine.rows("update backfill.token set last_used_at = last_used_at - interval '61 seconds'")
    with engine.connect(autocommit=False) as other:
        other.execute("select from backfill.token for update")
        assert authenticate(engine, secret, on=server)
    with server.transaction():
        server.execute("set transaction read only")
        assert authenticate(engine, secret, on=server)
    assert engine.value(noted) < first
    authenticate(engine, secret, on=server)
    assert engine.value(noted) > first


def test_only_a_servers_login_may_ask_for_tokens(engine: Engine) -> None:
    """Since only of such a one the audit believes for which token it acts. The function says so to
    whoever could call it otherwise, and what to do.
    """
    with login(engine.database.url) as conninfo:
        on = engine.connect(conninfo=conninfo)
        engine.rows("grant usage on schema backfill to public")
        engine.rows("grant execute on all functions in schema backfill to public")
        for call in ("authenticate(%s)", "session_of(%s)", "end_session(%s)", "log_in(%s, '', '')"):
            with pytest.raises(REFUSED, match="not a member of backfill_server") as caught:
                engine.rows(f"select backfill.{call}", b"", on=on)
            assert (caught.value.diag.message_hint or "").startswith("grant backfill_server to ")


# --- log-ins ----------------------------------------------------------------------------------


def test_a_log_in_opens_a_session(engine: Engine, server: Connection) -> None:
    """Its cookie stands for the token until somebody logs out."""
    secret = create_token(engine, "ci", "operator")
    entered = log_in(engine, secret, "cookie", on=server)
    assert (entered["reason"], entered["wait_seconds"]) == (None, 0)
    (found,) = session_of(engine, "cookie", on=server)
    assert found == {key: entered[key] for key in found}
    assert (found["name"], found["pg_role"]) == ("ci", "backfill_operator")
    assert session_of(engine, "other", on=server) == []
    assert engine.value("select sessions from backfill.tokens") == 1
    end = "select backfill.end_session(%s)"
    assert engine.value(end, sha256("cookie"), on=server)
    assert not engine.value(end, sha256("cookie"), on=server)
    assert session_of(engine, "cookie", on=server)[0]["reason"] == "logged out"
    events = engine.rows("select action, token, who from backfill.event where token is not null")
    assert [(row["action"], row["token"]) for row in events] == [
        ("log_in", "ci"), ("log_out", "ci"),
    ]  # fmt: skip
    assert {row["who"] for row in events} == {server.info.user}


def test_a_session_ends_with_its_token(engine: Engine, server: Connection) -> None:
    """At once when it is revoked, and when it expires; nobody enters with it any more."""
    secret = create_token(engine, "ci", valid="1 hour")
    log_in(engine, secret, "cookie", on=server)
    engine.rows("update backfill.token set created_at = '-infinity', expires_at = now()")
    assert session_of(engine, "cookie", on=server)[0]["reason"] == "expired"
    assert log_in(engine, secret, "later", on=server)["reason"] == "expired"
    engine.rows("update backfill.token set expires_at = null")
    assert session_of(engine, "cookie", on=server)[0]["reason"] is None
    engine.rows("select backfill.revoke_token('ci')")
    assert session_of(engine, "cookie", on=server)[0]["reason"] == "revoked"
    assert log_in(engine, secret, "later", on=server)["reason"] == "revoked"
    assert session_of(engine, "later", on=server) == []


def test_a_session_ends_when_nobody_uses_it(engine: Engine, server: Connection) -> None:
    """Two hours after its last use, or when its time is over; a look that does not count as use
    does not keep it.
    """
    secret = create_token(engine, "ci")
    log_in(engine, secret, "cookie", lasts="3 hours", on=server)
    elapse = (
        "update backfill.login_session set seen_at = seen_at - %s::interval,"
        " created_at = created_at - %s::interval, expires_at = expires_at - %s::interval"
    )
    engine.rows(elapse, *["90 minutes"] * 3)
    assert session_of(engine, "cookie", slide=False, on=server)[0]["reason"] is None
    engine.rows(elapse, *["31 minutes"] * 3)
    assert session_of(engine, "cookie", on=server)[0]["reason"] == "session over"
    engine.rows(elapse, *["-31 minutes"] * 3)
    assert session_of(engine, "cookie", on=server)[0]["reason"] is None
    engine.rows(elapse, *["80 minutes"] * 3)
    assert session_of(engine, "cookie", on=server)[0]["reason"] is None
    engine.rows(elapse, *["11 minutes"] * 3)
    assert session_of(engine, "cookie", on=server)[0]["reason"] == "session over"


def test_a_session_lasts_a_month_at_most(engine: Engine, server: Connection) -> None:
    """Whatever the server asks for."""
    secret = create_token(engine, "ci")
    call = "select * from backfill.log_in(%s, %s, '192.0.2.1', '32 days')"
    assert refused(engine, call, sha256(secret), sha256("cookie"), on=server) == "23514"


def test_old_log_ins_are_forgotten(engine: Engine, server: Connection) -> None:
    """Sessions a month after their end, failures after an hour, with the next log-in."""
    secret = create_token(engine, "ci")
    for cookie in ("old", "recent"):
        log_in(engine, secret, cookie, on=server)
    for source in ("198.51.100.1", "198.51.100.2"):
        log_in(engine, "wrong", "none", source=source, on=server)
    engine.rows(
        "update backfill.login_session set ended_at = now() - interval '32 days' where hash = %s",
        sha256("old"),
    )
    engine.rows(
        "update backfill.login_failure set at = now() - interval '61 minutes'"
        " where source = '198.51.100.1'"
    )
    log_in(engine, secret, "new", on=server)
    assert engine.value("select count(*) from backfill.login_session") == 2
    sources = engine.column("select source from backfill.login_failure order by 1")
    assert sources == ["", "198.51.100.2"]
