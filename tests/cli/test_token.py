"""`backfill token`: making, listing and revoking tokens."""

from __future__ import annotations

import re

import pytest

from runner.cli.token import ROLES
from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.engine.access import sha256
from tests.engine.roles import login
from tests.plugins.engine import Engine


@pytest.fixture
def tokens(engine: Engine, backfill: Backfill) -> Backfill:
    """`backfill` on a database with the engine."""
    return backfill.use(engine.database)


def test_the_roles_are_those_of_the_database(engine: Engine) -> None:
    """The command offers what the database takes."""
    rule = engine.value(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'token_role_is_known'"
    )
    assert tuple(re.findall(r"'(\w+)'", rule)) == ROLES


def test_a_token_is_made_listed_and_revoked(tokens: Backfill, engine: Engine) -> None:
    """Its secret, and nothing else, is on stdout, once: a script can take it from there."""
    made = tokens("token", "create", "ci", "--role", "operator", "--expires", "90d")
    secret = made.out.removesuffix("\n")
    assert re.fullmatch(r"bft_[A-Za-z0-9_-]{43}", secret)
    assert secret not in made.err
    assert engine.value("select backfill.token_refusal(t) is null from backfill.token t")
    assert bytes(engine.value("select hash from backfill.token")) == sha256(secret)
    (row,) = tokens("token", "list", "--json").json
    assert (row["name"], row["role"], row["state"]) == ("ci", "operator", "live")
    valid = (
        "select expires_at - created_at - '90 days' between '-1 s' and '1 s' from backfill.token"
    )
    assert engine.value(valid)
    listed = tokens("token", "list")
    assert listed.out.splitlines()[1].split()[:3] == ["ci", "operator", "live"]
    assert secret not in listed.out + listed.err
    assert tokens("token", "revoke", "ci").out == "ci is revoked\n"
    assert tokens("token", "list").out.splitlines()[1].split()[2] == "revoked"


def test_a_token_holds_for_ever_unless_told_otherwise(tokens: Backfill, engine: Engine) -> None:
    """Without --expires it has no end; the list says how to make the first."""
    assert "backfill token create NAME" in tokens("token", "list").err
    assert tokens("token", "create", "ci", "--role", "viewer").code == ExitCode.DONE
    assert engine.value("select expires_at from backfill.token") is None
    engine.rows("update backfill.token set expires_at = 'infinity'")
    (row,) = tokens("token", "list", "--json").json
    assert row["expires_at"].startswith("9999-12-31")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["create", "ci", "--role", "viewer"], "there is a token named 'ci' already; revoke it"),
        (["create", "Two words", "--role", "viewer"], "is no name for a token; it is of a-z"),
        (["create", "cd"], "missing option '--role'"),
        (["create", "cd", "--role", "root"], "'root' is not one of"),
        (["create", "cd", "--role", "viewer", "--expires", "soon"], "is not a duration"),
        (["revoke", "cd"], "there is no token named 'cd'"),
    ],
)
def test_a_mistake_is_told_in_one_line(tokens: Backfill, arguments: list[str], said: str) -> None:
    """With what to do about it, and as one of the user's."""
    tokens("token", "create", "ci", "--role", "viewer")
    ended = tokens("token", *arguments)
    assert ended.code == ExitCode.USAGE
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_who_is_no_admin_is_refused(tokens: Backfill, engine: Engine) -> None:
    """By the database, with a word on who may."""
    with login(engine.database.url, "backfill_operator") as conninfo:
        for arguments in (["create", "ci", "--role", "viewer"], ["list"], ["revoke", "ci"]):
            ended = tokens("token", *arguments, "--database-url", conninfo)
            assert ended.code == ExitCode.ERROR
            assert "permission denied" in ended.err
    with login(engine.database.url, "backfill_admin") as conninfo:
        ended = tokens("token", "create", "ci", "--role", "viewer", "--database-url", conninfo)
        assert ended.code == ExitCode.DONE
