"""Which stored objects tasks still refer to."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.engine.roles import login
from tests.plugins.engine import Engine

KEPT = """
create table public.kept (path text);
insert into public.kept values ('a'), ('b');
create function backfill.keeps_sample(p_paths text[]) returns setof text language sql stable as
    'select k.path from public.kept k where k.path = any (p_paths)';
"""

OWNED = """
alter table public.kept owner to {role};
alter table public.kept enable row level security;
alter table public.kept force row level security;
create policy visible on public.kept using (path <> 'b');
grant usage, create on schema backfill to {role};
grant select on backfill.task to {role};
alter function backfill.kept_objects(text[]) owner to {role};
"""


def test_tasks_say_what_they_keep(engine: Engine) -> None:
    """Of the paths asked for, those that rows refer to; a task without objects is not asked."""
    assert engine.column("select backfill.storing_tasks()") == []
    assert engine.column("select backfill.kept_objects('{a,c}')") == []
    engine.rows(KEPT)
    assert engine.column("select backfill.storing_tasks()") == ["sample"]
    assert engine.column("select backfill.kept_objects('{a,c}')") == ["a"]


def test_what_a_policy_hides_is_no_orphan(engine: Engine) -> None:
    """Rows that the functions' owner may not see make the question fail, and not fewer answers."""
    engine.rows(KEPT)
    with login(engine.database.url, "backfill_reader") as conninfo:
        engine.rows(OWNED.format(role=conninfo_to_dict(conninfo)["user"]))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            engine.column("select backfill.kept_objects('{a,b}')")
