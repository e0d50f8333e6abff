"""Roles belong to the whole server: how databases share them, and how they come and go."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runner.database import migrate
from runner.embedded import EmbeddedServer
from tests.engine.roles import MAY_CALL, login
from tests.plugins.engine import install

Sql = list[tuple[Any, ...]]


def run(url: str, query: str, *parameters: Any) -> Sql:
    """What a statement returns."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def new_database(server: EmbeddedServer, name: str, owner: str | None = None) -> str:
    """A new database's URL."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        statement = sql.SQL("create database {}").format(sql.Identifier(name))
        if owner:
            statement += sql.SQL(" owner {}").format(sql.Identifier(owner))
        connection.execute(statement)
    return make_conninfo(server.url(), dbname=name)


def roles(url: str) -> set[str]:
    """The engine's roles that are on the server."""
    found = run(url, "select rolname::text from pg_roles where rolname like 'backfill\\_%'")
    return {name for (name,) in found}


def down(url: str) -> list[str]:
    """Take the roles down as the downgrade does; the notices."""
    notices: list[str] = []
    with psycopg.connect(url) as connection:
        connection.add_notice_handler(lambda said: notices.append(said.message_primary or ""))
        connection.execute("select backfill.take_down_roles()")
    return notices


def set_up(url: str) -> list[str]:
    """Set the roles up; the notices."""
    notices: list[str] = []
    with psycopg.connect(url) as connection:
        connection.add_notice_handler(lambda said: notices.append(said.message_primary or ""))
        connection.execute("select backfill.set_up_roles()")
    return notices


def everything_goes(url: str) -> None:
    """Uninstall the engine with the sample task, which was made by hand."""
    run(url, "drop table item cascade")
    run(url, "drop function count_write")
    run(url, "drop function backfill.apply_sample")
    run(url, "select backfill.unregister_task('sample')")
    migrate.uninstall(url, [])


def readable(reader: str, dbname: str) -> bool:
    """Whether this login may look at backfills in that database."""
    try:
        run(make_conninfo(reader, dbname=dbname), "select * from backfill.progress")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def test_two_databases_share_the_roles(own_server: EmbeddedServer) -> None:
    """The second database finds the roles there and grants its own; what the first takes away is
    its own alone, and the roles go with the last.
    """
    one, two = (new_database(own_server, name) for name in ("one", "two"))
    install(one)
    install(two)
    assert roles(one) == set(MAY_CALL)
    with login(one, "backfill_reader") as reader:
        assert readable(reader, "one")
        assert readable(reader, "two")
        everything_goes(one)
        assert roles(two) == set(MAY_CALL)
        assert readable(reader, "two")
        install(one)
        assert readable(reader, "one")
        everything_goes(one)
    notices = down(two)
    assert notices == []
    assert roles(two) == set()
    run(two, "select backfill.set_up_roles()")
    assert roles(two) == set(MAY_CALL)
    everything_goes(two)
    assert roles(two) == set()


def test_what_somebody_still_has_stays(own_server: EmbeddedServer) -> None:
    """A role with a member, with rights elsewhere, or that a DBA made is left, with the reason."""
    url = new_database(own_server, "only")
    run(url, "create role backfill_operator nologin")
    install(url)
    run(url, "create table elsewhere ()")
    run(url, "grant select on elsewhere to backfill_runner")
    with login(url, "backfill_reader"):
        notices = sorted(down(url))
        assert notices[0] == "the role backfill_operator stays: it was not made by pgbackfill"
        assert notices[1] == "the role backfill_reader stays: it has members"
        assert notices[2].startswith("the role backfill_runner stays: role")
        stay = {"backfill_reader", "backfill_runner", "backfill_operator"}
        assert roles(url) == stay
        # and the uninstallation does not fail for it
        everything_goes(url)
        assert roles(url) == stay


def test_a_user_who_may_not_create_roles_installs_without(
    own_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The migration goes through and says what to run; once somebody has created the roles, the
    owner grants them what is theirs.
    """
    with login(own_server.url()) as plain:
        owner = conninfo_to_dict(plain)["user"]
        server = own_server.url()
        new_database(own_server, "plain", str(owner))
        url = make_conninfo(plain, dbname="plain")
        install(url)
        assert roles(server) == set()
        told = [record.getMessage() for record in caplog.records]
        hint = (
            f"create role backfill_reader nologin; and then {owner}: select backfill.set_up_roles()"
        )
        assert len([line for line in told if "is missing" in line]) == 3
        assert any(hint in line for line in told)
        # all that was promised without roles works without them
        assert run(url, "select backfill.start('sample')")
        for role in ("backfill_reader", "backfill_runner", "backfill_operator"):
            run(server, f"create role {role} nologin")
        run(server, "grant backfill_reader to backfill_runner, backfill_operator")
        # the service's roles are still missing, which takes nothing from the others
        assert set_up(url) == [
            f"the role {role} is missing, and {owner} may not create it"
            for role in ("backfill_admin", "backfill_server")
        ]
        with login(server, "backfill_operator") as operator:
            mine = make_conninfo(operator, dbname="plain")
            run(mine, "select backfill.pause('sample')")
            run(mine, "select * from backfill.needs_sample")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                run(mine, "select * from backfill.token")
        run(server, "create role backfill_admin nologin")
        run(server, "create role backfill_server nologin noinherit")
        run(server, "grant backfill_operator, backfill_runner to backfill_admin")
        run(server, "grant backfill_reader, backfill_operator, backfill_admin to backfill_server")
        assert set_up(url) == []
        with login(server, "backfill_server") as web:
            mine = make_conninfo(web, dbname="plain")
            run(mine, "select * from backfill.authenticate('')")
            run(mine, "set role backfill_admin; select backfill.create_token('x', 'viewer')")
        everything_goes(url)
        assert roles(server) == set(MAY_CALL)
        for role in sorted(MAY_CALL, key="backfill_reader".__eq__):
            run(server, f"drop role {role}")
        run(server, "drop database plain")


def test_a_server_that_inherits_is_mended(own_server: EmbeddedServer) -> None:
    """Made by hand, backfill_server may have the rights of the others from the start; setting the
    roles up takes these from it, so that a request that takes no role on is refused.
    """
    server = own_server.url()
    for role in ("reader", "operator", "server"):
        run(server, f"create role backfill_{role} nologin")
    run(server, "grant backfill_operator, backfill_reader to backfill_server")
    url = new_database(own_server, "mended")
    install(url)
    with login(server, "backfill_server") as web:
        mine = make_conninfo(web, dbname="mended")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(mine, "select backfill.pause('sample')")
        run(mine, "set role backfill_operator; select backfill.pause('sample')")


def test_a_user_who_may_create_roles_needs_no_superuser(own_server: EmbeddedServer) -> None:
    """An owner with createrole sets the roles up and takes them down again by himself."""
    server = own_server.url()
    with login(server, attributes="createrole") as creator:
        new_database(own_server, "created", str(conninfo_to_dict(creator)["user"]))
        url = make_conninfo(creator, dbname="created")
        install(url)
        assert roles(server) == set(MAY_CALL)
        with login(server, "backfill_runner") as runner:
            run(make_conninfo(runner, dbname="created"), "select backfill.start('sample')")
        with login(server, "backfill_server") as web:
            mine = make_conninfo(web, dbname="created")
            run(mine, "set role backfill_operator; select backfill.pause('sample')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                run(mine, "select backfill.pause('sample')")
        # who made the roles may grant them, and is not the server for that
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not a member"):
            run(url, "select * from backfill.authenticate('')")
        assert set_up(url) == []
        everything_goes(url)
        assert roles(server) == set()
        run(server, "drop database created")
