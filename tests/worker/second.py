"""A second task for workers, over items of its own."""

from __future__ import annotations

from dataclasses import replace

from tests import sample

SCHEMA = """
create table item_2 (
    id bigint primary key, behaviour text not null, input text not null default 'a', result text);
create view backfill.needs_second as
select i.id::text as key, i.id as native_key, md5(i.input) as revision, i.behaviour, i.input
  from item_2 i where i.result is null;
create function backfill.apply_second(results jsonb) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.item_2 i set result = r.result ->> 'text'
      from jsonb_to_recordset(results) as r (key text, result jsonb) where i.id = r.key::bigint
$$;
select backfill.register_task('second', 1, 'Gives each other item a text.', 20);
"""

task = replace(sample.task, name="second")
