-- pgbackfill, engine: live rows
--
-- A task declares its inputs: columns of the application's tables, and the column that says whose job a
-- row of such a table is. While the task is watched, triggers on these tables note what is new or changed
-- in backfill.arrival, and processes take those rows before all others: claim_new().
--
-- An arrival is a hint and no promise. The needs view alone says what is to be done, and a sweep finds
-- with it whatever was not noted: rows that came before the triggers, by logical replication, or under
-- session_replication_role = replica. So an arrival may be lost, or be there for nothing, at no harm.
--
-- What the triggers must never do is to make the application wait or fail:
--   * arrival has no constraint that could refuse a row, and nothing to wait for: no unique index, no
--     foreign key. Jobs are not touched.
--   * What can go wrong (a column was renamed, this schema was taken apart) is tried first, in a block that
--     catches it and writes nothing. A block that writes would need a subtransaction with an id of its own,
--     and 64 of these in one transaction slow down every snapshot on the server.
--   * They run with their owner's rights, so that the application needs none here.
--   * They belong to functions of this schema, so that "drop schema backfill cascade" drops them too.

create table backfill.input (
    task          text not null references backfill.task (name) on delete cascade,
    place         integer not null,
    relation      regclass not null,
    key           text not null,
    columns       text[] not null,
    watched_since timestamptz,
    watched_by    text,
    primary key (task, place),
    constraint input_is_declared_once unique (task, relation),
    constraint input_has_columns check (cardinality(columns) > 0),
    constraint input_watch_says_who check ((watched_since is null) = (watched_by is null))
);
comment on table backfill.input is 'Columns of the application''s tables that a task''s needs view reads as inputs; changes of these alone are watched.';
comment on column backfill.input.task is 'The task.';
comment on column backfill.input.place is 'Number among the task''s tables; in the names of triggers.';
comment on column backfill.input.relation is 'The application''s table.';
comment on column backfill.input.key is 'Its column that holds the native key of the job that a row belongs to.';
comment on column backfill.input.columns is 'Its columns that are inputs.';
comment on column backfill.input.watched_since is 'Since when triggers note what is new or changed; null: they don''t.';
comment on column backfill.input.watched_by is 'Who said so.';

create table backfill.arrival (
    id   bigint generated always as identity,
    task text not null,
    key  text,
    at   timestamptz not null default now()
);
-- not unique: nothing here may refuse a row
create index arrival_in_order on backfill.arrival (task, id);
-- Small and busy; and vacuum must not lock it to give pages back, or the application would wait.
alter table backfill.arrival set (vacuum_truncate = off, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
comment on table backfill.arrival is 'Rows of watched tables that are new or changed, until a process has looked at them.';
comment on column backfill.arrival.id is 'Order of coming.';
comment on column backfill.arrival.task is 'The task that watches.';
comment on column backfill.arrival.key is 'Key of the job that it concerns, as text; null: so many rows at once that a sweep is to find them.';
comment on column backfill.arrival.at is 'When its transaction began.';

create function backfill.wake_space()
returns integer language sql immutable as $$ select 1885823591 $$;
comment on function backfill.wake_space() is 'First half of the advisory lock that sleeping processes share; the second is hashtext() of the task.';

create function backfill.hear()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    listen backfill_arrival;
end $$;
comment on function backfill.hear() is 'Lets this session hear of rows that arrive; see wake().';

create function backfill.wake(p_task text)
returns void language plpgsql as $$
-- Without a search_path of its own, which would cost as much as all the rest: its callers have one.
begin
    -- PREPARE TRANSACTION refuses a transaction that notified.
    if current_setting('max_prepared_transactions') <> '0' then
        return;
    end if;
    -- Transactions that notify commit one at a time, on the whole server; so none does unless a process
    -- sleeps, which then shares this lock.
    if pg_try_advisory_lock(backfill.wake_space(), hashtext(p_task)) then
        perform pg_advisory_unlock(backfill.wake_space(), hashtext(p_task));
    elsif pg_notification_queue_usage() < 0.5 then
        -- a full queue makes commits fail
        perform pg_notify('backfill_arrival', p_task);
    end if;
end $$;
comment on function backfill.wake(text) is 'Wakes processes that sleep until rows of the task arrive, when this transaction commits. Called by the triggers on watched tables.';

create function backfill.declare_inputs(p_task text, p_relation regclass, p_key text, p_columns text[])
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_native text := backfill.native_type(p_task);
    v_missing text;
    v_kind "char";
begin
    perform backfill.known_task(p_task);
    select c.relkind into v_kind from pg_class c where c.oid = p_relation;
    if v_kind is distinct from 'r' and v_kind is distinct from 'p' then
        raise exception '% is no table, so nothing in it can be watched', p_relation
            using errcode = 'BF010', hint = 'declare the tables that it reads';
    end if;
    select string_agg(quote_ident(u.name), ', ' order by u.place) into v_missing
      from unnest(p_key || p_columns) with ordinality as u (name, place)
     where not exists (select from pg_attribute a where a.attrelid = p_relation and a.attname = u.name and a.attnum > 0 and not a.attisdropped);
    if v_missing is not null then
        raise exception '% has no column %', p_relation, v_missing using errcode = 'BF010';
    end if;
    -- A key is read back as the view's native key, which text of another kind could not be.
    if not exists (
        select from pg_attribute a join pg_type k on k.oid = a.atttypid join pg_type n on n.oid = to_regtype(v_native)
         where a.attrelid = p_relation and a.attname = p_key and k.typcategory = n.typcategory) then
        raise exception 'column % of % can''t be the key: jobs of % have keys of type %', quote_ident(p_key), p_relation, p_task, v_native
            using errcode = 'BF010';
    end if;
    insert into backfill.input as i (task, place, relation, key, columns)
    values (p_task, (select coalesce(max(x.place), 0) + 1 from backfill.input x where x.task = p_task), p_relation, p_key, p_columns)
    on conflict (task, relation) do update set key = excluded.key, columns = excluded.columns;
    perform backfill.log_event('declare_inputs', p_task, null, jsonb_build_object('table', p_relation::text, 'key', p_key, 'columns', p_columns));
    if exists (select from backfill.input i where i.task = p_task and i.watched_since is not null) then
        perform backfill.watch(p_task);
    end if;
end $$;
comment on function backfill.declare_inputs(text, regclass, text, text[]) is
    'Says which columns of a table a task''s needs view reads as inputs, and which column holds the key of the job that a row belongs to. For the task''s migration, or by hand; where the task is watched its triggers follow.';

create function backfill.drop_watch(p_input backfill.input)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from pg_class c where c.oid = p_input.relation) then
        execute format('drop trigger if exists %I on %s', format('backfill_%s_%s_i', p_input.task, p_input.place), p_input.relation);
        execute format('drop trigger if exists %I on %s', format('backfill_%s_%s_u', p_input.task, p_input.place), p_input.relation);
    end if;
    execute format('drop function if exists backfill.%I(), backfill.%I()',
                   format('arrive_%s_%s_i', p_input.task, p_input.place), format('arrive_%s_%s_u', p_input.task, p_input.place));
end $$;
comment on function backfill.drop_watch(backfill.input) is 'Removes the triggers of one table, with their functions.';

create function backfill.create_arrive(p_input backfill.input, p_name text, p_declare text, p_try text, p_note text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_settings text;
begin
    -- A time's text depends on settings, which are then the function's own; that costs a little.
    select case when t.typcategory in ('D', 'T') then 'set timezone = ''UTC'' set datestyle = ''ISO, YMD''' else '' end into strict v_settings
      from pg_attribute a join pg_type t on t.oid = a.atttypid
     where a.attrelid = p_input.relation and a.attname = p_input.key and not a.attisdropped;
    execute format(
        'create function backfill.%I() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp %s as %L',
        p_name, v_settings, format($body$
declare
    %s
begin
    begin
        %s
        perform a.task, a.key from backfill.arrival a limit 0;
        perform backfill.wake(%L);
    exception when others then
        raise log using message = concat('pgbackfill: not noted as new in ', tg_relid::regclass, ': ', sqlerrm);
        return null;
    end;
    %s
    return null;
end $body$, p_declare, p_try, p_input.task, p_note));
    execute format('comment on function backfill.%I() is %L', p_name, format('Notes rows of %s as new or changed, for %s.', p_input.relation, p_input.task));
    execute format('revoke execute on function backfill.%I() from public', p_name);
end $$;
comment on function backfill.create_arrive(backfill.input, text, text, text, text) is 'Makes the function of a trigger: what it tries first, and what it does then.';

create function backfill.watch_table(p_input backfill.input)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_inserts text := format('arrive_%s_%s_i', p_input.task, p_input.place);
    v_rows text := format('arrive_%s_%s_u', p_input.task, p_input.place);
    v_new text := format('backfill_%s_%s_i', p_input.task, p_input.place);
    v_changed text := format('backfill_%s_%s_u', p_input.task, p_input.place);
    v_condition text;
begin
    perform backfill.drop_watch(p_input);
    perform backfill.create_arrive(p_input, v_rows, '', format('perform new.%I::text;', p_input.key), format(
        'if new.%1$I is not null then insert into backfill.arrival (task, key) values (%2$L, new.%1$I::text); end if;', p_input.key, p_input.task));
    if (select c.relkind = 'p' from pg_class c where c.oid = p_input.relation) then
        -- what is inserted into a partition of its own is no statement of the whole table
        execute format('create trigger %I after insert on %s for each row execute function backfill.%I()', v_new, p_input.relation, v_rows);
    else
        -- A statement that brings very many rows brings no live rows but a backlog.
        perform backfill.create_arrive(p_input, v_inserts, 'v_rows bigint;', format(
            'v_rows := (select count(*) from (select n.%I::text from arrived n limit 10000) s);
        if v_rows = 0 then return null; end if;', p_input.key), format($body$if v_rows < 10000 then
        insert into backfill.arrival (task, key) select %2$L, n.%1$I::text from arrived n where n.%1$I is not null;
    else
        insert into backfill.arrival (task, key) values (%2$L, null);
    end if;$body$, p_input.key, p_input.task));
        execute format('create trigger %I after insert on %s referencing new table as arrived for each statement execute function backfill.%I()',
                       v_new, p_input.relation, v_inserts);
    end if;
    -- Not "update of": a trigger of the application's may change a column that the statement doesn't name.
    -- Types that have no equality are compared by their text.
    select string_agg(format('old.%1$I%2$s is distinct from new.%1$I%2$s', u.name,
                             case when t.typname in ('json', 'xml') or t.typcategory = 'G' then '::text' end), ' or ' order by u.place) into v_condition
      from unnest(p_input.key || p_input.columns) with ordinality as u (name, place)
      join pg_attribute a on a.attrelid = p_input.relation and a.attname = u.name
      join pg_type t on t.oid = a.atttypid;
    execute format('create trigger %I after update on %s for each row when (%s) execute function backfill.%I()', v_changed, p_input.relation, v_condition, v_rows);
    execute format('comment on trigger %I on %s is %L', v_new, p_input.relation,
                   format('pgbackfill: notes new rows for %s; select backfill.unwatch(%L) removes it', p_input.task, p_input.task));
    execute format('comment on trigger %I on %s is %L', v_changed, p_input.relation,
                   format('pgbackfill: notes rows whose inputs changed for %s; select backfill.unwatch(%L) removes it', p_input.task, p_input.task));
end $$;
comment on function backfill.watch_table(backfill.input) is 'Makes the triggers of one table anew.';

create function backfill.watch(p_task text)
returns integer language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    v_input backfill.input;
    v_tables integer := 0;
begin
    perform backfill.known_task(p_task);
    for v_input in select i.* from backfill.input i where i.task = p_task order by i.place loop
        perform backfill.watch_table(v_input);
        v_tables := v_tables + 1;
    end loop;
    if v_tables = 0 then
        raise exception 'nobody has said which columns % reads, so there is nothing to watch', p_task
            using errcode = 'BF010', hint = format('for example: select backfill.declare_inputs(%L, ''public.images'', ''id'', ''{url}'')', p_task);
    end if;
    update backfill.input i set watched_since = clock_timestamp(), watched_by = session_user where i.task = p_task;
    perform backfill.log_event('watch', p_task, null, (
        select jsonb_object_agg(i.relation::text, i.columns) from backfill.input i where i.task = p_task));
    return v_tables;
end $$;
comment on function backfill.watch(text) is
    'Watches the tables that a task reads: triggers note new rows, and rows whose declared inputs changed, and processes take these first. Returns how many tables. Waits for each table for 3 seconds at most, since those who write wait behind it.';

create function backfill.unwatch(p_task text)
returns integer language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    v_input backfill.input;
    v_tables integer := 0;
begin
    perform backfill.known_task(p_task);
    for v_input in select i.* from backfill.input i where i.task = p_task and i.watched_since is not null order by i.place loop
        perform backfill.drop_watch(v_input);
        v_tables := v_tables + 1;
    end loop;
    update backfill.input i set watched_since = null, watched_by = null where i.task = p_task;
    delete from backfill.arrival a where a.task = p_task;
    if v_tables > 0 then
        perform backfill.log_event('unwatch', p_task);
    end if;
    return v_tables;
end $$;
comment on function backfill.unwatch(text) is 'Removes the triggers of watch(), and what they noted that nobody has looked at; the next sweep finds those rows. Returns how many tables were watched.';

create function backfill.input_is_deleted() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.drop_watch(old);
    delete from backfill.arrival a where a.task = old.task;
    return null;
end $$;
comment on function backfill.input_is_deleted() is 'Takes the triggers off a table that is declared no longer, or whose task is removed.';
create trigger input_takes_its_triggers_along after delete on backfill.input
    for each row execute function backfill.input_is_deleted();
comment on trigger input_takes_its_triggers_along on backfill.input is 'A task that is removed leaves no trigger behind.';

create view backfill.watches as
select i.task, i.relation::text as relation, i.key, i.columns, i.watched_since as since, i.watched_by as set_by,
       w.waiting, w.oldest,
       case when i.watched_since is null then 'not watched'
            when not exists (select from pg_class c where c.oid = i.relation) then 'its table is gone'
            when t.missing is not null then format('no column %s any more: declare its inputs anew', t.missing)
            when g.made < 2 then 'its triggers are gone: watch it again'
            when g.fires < g.made then 'its triggers are disabled'
            when w.waiting > 0 and not exists (select from backfill.runner r where r.task = i.task and r.status = 'live') then 'rows wait, and no process is running' end as reason
  from backfill.input i
 cross join lateral (
       select string_agg(quote_ident(u.name), ', ') as missing
         from unnest(i.key || i.columns) as u (name)
        where not exists (select from pg_attribute a where a.attrelid = i.relation and a.attname = u.name and not a.attisdropped)) t
 cross join lateral (
       select count(*) as made, count(*) filter (where p.tgenabled in ('O', 'A')) as fires from pg_trigger p
        where p.tgrelid = i.relation and p.tgname in (format('backfill_%s_%s_i', i.task, i.place), format('backfill_%s_%s_u', i.task, i.place))) g
 cross join lateral (
       select count(*) as waiting, min(s.at) as oldest
         from (select a.at from backfill.arrival a where a.task = i.task order by a.id limit 1000) s) w;
comment on view backfill.watches is 'The tables that tasks read, whether they are watched, and what is wrong with that.';
comment on column backfill.watches.task is 'The task.';
comment on column backfill.watches.relation is 'The application''s table.';
comment on column backfill.watches.key is 'Its column with the key of the job that a row belongs to.';
comment on column backfill.watches.columns is 'Its columns that are inputs.';
comment on column backfill.watches.since is 'Since when it is watched; null: it is not.';
comment on column backfill.watches.set_by is 'Who said so.';
comment on column backfill.watches.waiting is 'New and changed rows of the task that no process has looked at, counted up to 1,000.';
comment on column backfill.watches.oldest is 'When the first of these came.';
comment on column backfill.watches.reason is 'Why new rows are not noticed, or not done; null: all is well.';
