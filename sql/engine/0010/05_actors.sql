-- pgbackfill, engine: who acts, where many people are behind one login
--
-- `backfill serve` has one login, a member of backfill_server, and many people behind it, each with a
-- token. What a token asks for is done in a transaction that has taken on the PostgreSQL role of that
-- token, so that the database is what refuses. The token's name goes with the transaction in the
-- setting backfill.token. Anybody can set that, so it is believed of members of backfill_server alone.

create function backfill.is_server()
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    -- since version 16 who created a role is a member of it, but may not take it on
    select exists (
        select from pg_roles r
         where r.rolname = 'backfill_server'
           and pg_has_role(session_user, r.oid, case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end))
$$;
comment on function backfill.is_server() is 'Whether this session''s login may act for tokens.';

create function backfill.demand_server()
returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not backfill.is_server() then
        raise exception 'login % is not a member of backfill_server', session_user
            using errcode = 'insufficient_privilege',
                  hint = case when to_regrole('backfill_server') is null then 'the roles are missing: select backfill.set_up_roles()'
                              else format('grant backfill_server to %I', session_user) end;
    end if;
end $$;
comment on function backfill.demand_server() is 'Refuses a session whose requests would reach the audit without the token''s name.';

create function backfill.token_name()
returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when backfill.is_server() then nullif(current_setting('backfill.token', true), '') end
$$;
comment on function backfill.token_name() is 'Name of the token that this transaction acts for; null: for none. What a session says of itself is believed of backfill_server''s members alone.';

create function backfill.actor()
returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(backfill.token_name(), session_user)
$$;
comment on function backfill.actor() is 'Who acts: the token, or else the database user.';

alter table backfill.event add column token text;
alter table backfill.event alter column token set default backfill.token_name();
comment on column backfill.event.token is 'The token that the database user acted for; null: for none.';

alter table backfill.run add column token text;
alter table backfill.run alter column token set default backfill.token_name(),
    alter column requested_by set default backfill.actor();
comment on column backfill.run.token is 'The token that it was started with; null: with none.';
comment on column backfill.run.requested_by is 'Who started it: the token, or else the database user.';

-- Where a table says who acted: the functions of earlier revisions, with actor().

create or replace function backfill.pause(p_task text, p_reason text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_task(p_task);
    update backfill.task set paused_at = clock_timestamp(), paused_by = backfill.actor(), paused_reason = p_reason where name = p_task;
    perform backfill.log_event('pause', p_task, null, jsonb_strip_nulls(jsonb_build_object('reason', p_reason)));
end $$;

create or replace function backfill.mark_rate_set() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.set_by := backfill.actor();
    new.set_at := clock_timestamp();
    new.slowed_to := null;
    return new;
end $$;

alter table backfill.task_budget alter column set_by set default backfill.actor();
create or replace function backfill.set_budget(p_task text, p_usd numeric, p_per text default 'month')
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_task(p_task);
    if p_usd is null then
        delete from backfill.task_budget b where b.task = p_task and b.per = p_per;
    else
        insert into backfill.task_budget as b (task, per, usd) values (p_task, p_per, p_usd)
        on conflict (task, per) do update set usd = excluded.usd, needed = null, set_by = excluded.set_by, set_at = clock_timestamp();
    end if;
    perform backfill.log_event('set_budget', p_task, null, jsonb_build_object('per', p_per, 'usd', p_usd));
end $$;

create or replace function backfill.watch(p_task text)
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
    update backfill.input i set watched_since = clock_timestamp(), watched_by = backfill.actor() where i.task = p_task;
    perform backfill.log_event('watch', p_task, null, (
        select jsonb_object_agg(i.relation::text, i.columns) from backfill.input i where i.task = p_task));
    return v_tables;
end $$;
