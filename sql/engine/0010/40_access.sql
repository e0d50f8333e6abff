-- pgbackfill, engine: tokens, logins, and the roles of the service
--
-- Secrets are hashed by the client: no statement, and so no log of statements, has one. They are 256
-- random bits, which neither guessing nor a table of hashes finds; so one plain SHA-256 is enough, and
-- how long the look-up of a hash takes tells nothing about a secret.

-- --- tokens --------------------------------------------------------------------------------------

create table backfill.token (
    id           bigint generated always as identity primary key,
    name         text not null,
    role         text not null,
    hash         bytea not null,
    created_at   timestamptz not null default clock_timestamp(),
    created_by   text not null default backfill.actor(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    constraint token_is_unique unique (hash),
    constraint token_name_is_a_word check (name ~ '^[a-z0-9][a-z0-9._@-]{0,62}$'),
    constraint token_role_is_known check (role in ('viewer', 'operator', 'admin')),
    constraint token_hash_is_sha256 check (length(hash) = 32),
    constraint token_expires_after_it_was_made check (expires_at > created_at)
);
create unique index token_by_name on backfill.token (name) where revoked_at is null;
comment on table backfill.token is 'Who may use the console and the HTTP API, and as what. No role reads it; backfill.tokens is for admins.';
comment on column backfill.token.id is 'The token''s number.';
comment on column backfill.token.name is 'Its name, which the audit has; unique among those that are not revoked.';
comment on column backfill.token.role is 'viewer, operator or admin: its requests take on backfill_reader, backfill_operator or backfill_admin.';
comment on column backfill.token.hash is 'SHA-256 of its secret.';
comment on column backfill.token.created_at is 'When it was made.';
comment on column backfill.token.created_by is 'By whom.';
comment on column backfill.token.expires_at is 'It is refused from then on; null: never.';
comment on column backfill.token.revoked_at is 'Since when it is refused because somebody revoked it; null: nobody did.';
comment on column backfill.token.last_used_at is 'When it was used last; written at most once a minute.';

create table backfill.login_session (
    hash       bytea primary key,
    token      bigint not null references backfill.token (id) on delete cascade,
    source     text not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    seen_at    timestamptz not null default clock_timestamp(),
    ended_at   timestamptz,
    constraint login_session_hash_is_sha256 check (length(hash) = 32),
    constraint login_session_lasts_a_month_at_most check (expires_at > created_at and expires_at <= created_at + interval '31 days')
);
create index login_session_by_token on backfill.login_session (token) where ended_at is null;
create index login_session_by_source on backfill.login_session (source, created_at);
comment on table backfill.login_session is 'Log-ins to the console; gone a month after they ended.';
comment on column backfill.login_session.hash is 'SHA-256 of the cookie''s value.';
comment on column backfill.login_session.token is 'The token that was given.';
comment on column backfill.login_session.source is 'From which address; of an IPv6 address its first 64 bits.';
comment on column backfill.login_session.created_at is 'When.';
comment on column backfill.login_session.expires_at is 'It ends then at the latest.';
comment on column backfill.login_session.seen_at is 'When it was used last; written at most once a minute. It ends two hours after.';
comment on column backfill.login_session.ended_at is 'When somebody logged out, or the token was revoked; null: neither.';

create table backfill.login_failure (
    source  text primary key,
    level   double precision not null default 0,
    at      timestamptz not null default clock_timestamp(),
    told_at timestamptz,
    constraint login_failure_level_is_not_negative check (level >= 0)
);
comment on table backfill.login_failure is 'Failed log-ins of the last hour, for their rate limit.';
comment on column backfill.login_failure.source is 'From which address; of an IPv6 address its first 64 bits. Empty: from all addresses that nobody has logged in from in the last month.';
comment on column backfill.login_failure.level is 'How many, less those that were forgotten since, as of at.';
comment on column backfill.login_failure.at is 'When it was counted last.';
comment on column backfill.login_failure.told_at is 'When the audit was told last that there were too many.';

create function backfill.pg_role(p_role text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select 'backfill_' || case p_role when 'viewer' then 'reader' else p_role end
$$;
comment on function backfill.pg_role(text) is 'The PostgreSQL role that a token''s requests take on.';

create function backfill.token_refusal(p_token backfill.token)
returns text language sql volatile set search_path = pg_catalog, pg_temp as $$
    select case when p_token.revoked_at is not null then 'revoked' when p_token.expires_at <= clock_timestamp() then 'expired' end
$$;
comment on function backfill.token_refusal(backfill.token) is 'Why a token is refused: revoked or expired; null: it is good.';

create function backfill.session_refusal(p_session backfill.login_session)
returns text language sql volatile set search_path = pg_catalog, pg_temp as $$
    select case when p_session.ended_at is not null then 'logged out'
                when least(p_session.expires_at, p_session.seen_at + interval '2 hours') <= clock_timestamp() then 'session over' end
$$;
comment on function backfill.session_refusal(backfill.login_session) is 'Why a session is refused whose token is good: logged out or session over; null: it is good.';

create function backfill.create_token(p_name text, p_role text, p_valid interval default null)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- 366 random bits in three UUIDs, hashed to 256
    v_secret text := 'bft_' || rtrim(translate(encode(sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'), '+/', '-_'), '=');
    -- the secret itself is a parameter of no statement, since these may be logged
    v_hash bytea := sha256(convert_to(v_secret, 'UTF8'));
    v_made backfill.token;
begin
    if p_name !~ '^[a-z0-9][a-z0-9._@-]{0,62}$' then
        raise exception '% is no name for a token', quote_literal(p_name)
            using errcode = 'BF020', hint = 'it is of a-z, 0-9, ".", "_", "@" and "-", begins with a letter or a digit, and has at most 63 of them';
    end if;
    if to_regrole(quote_ident(p_name)) is not null then
        raise exception '% is a database role, and the audit must tell a token from it', quote_literal(p_name)
            using errcode = 'BF020', hint = format('give it another name, such as %L', p_name || '-token');
    end if;
    update backfill.token t set revoked_at = t.expires_at
     where t.name = p_name and t.revoked_at is null and t.expires_at <= clock_timestamp();
    begin
        insert into backfill.token (name, role, hash, expires_at) values (p_name, p_role, v_hash, clock_timestamp() + p_valid)
        returning * into v_made;
    exception when unique_violation then
        raise exception 'there is a token named % already', quote_literal(p_name)
            using errcode = 'BF020', hint = format('revoke it first: select backfill.revoke_token(%L)', p_name);
    end;
    perform backfill.log_event('create_token', null, null, jsonb_strip_nulls(jsonb_build_object(
        'name', p_name, 'role', p_role, 'expires_at', v_made.expires_at)));
    return v_secret;
end $$;
comment on function backfill.create_token(text, text, interval) is
    'Makes a token and returns its secret, which nobody can be told again. Roles: viewer, operator, admin. Without p_valid it holds until it is revoked.';

create function backfill.revoke_token(p_name text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_token bigint;
begin
    update backfill.token t set revoked_at = clock_timestamp() where t.name = p_name and t.revoked_at is null returning t.id into v_token;
    if not found then
        raise exception 'there is no token named %', quote_literal(p_name)
            using errcode = 'BF020', hint = 'list them with: select name, state from backfill.tokens';
    end if;
    update backfill.login_session s set ended_at = clock_timestamp() where s.token = v_token and s.ended_at is null;
    perform backfill.log_event('revoke_token', null, null, jsonb_build_object('name', p_name));
end $$;
comment on function backfill.revoke_token(text) is 'Refuses a token from the next request on, and ends its log-ins.';

create view backfill.tokens as
select t.id, t.name, t.role, coalesce(backfill.token_refusal(t), 'live') as state, t.created_at, t.created_by, t.expires_at, t.revoked_at, t.last_used_at,
       (select count(*) from backfill.login_session s where s.token = t.id and s.ended_at is null and backfill.session_refusal(s) is null) as sessions
  from backfill.token t;
comment on view backfill.tokens is 'Tokens, for admins.';
comment on column backfill.tokens.id is 'The token''s number.';
comment on column backfill.tokens.name is 'Its name.';
comment on column backfill.tokens.role is 'viewer, operator or admin.';
comment on column backfill.tokens.state is 'live, expired or revoked.';
comment on column backfill.tokens.created_at is 'When it was made.';
comment on column backfill.tokens.created_by is 'By whom.';
comment on column backfill.tokens.expires_at is 'When it expires; null: never.';
comment on column backfill.tokens.revoked_at is 'When it was revoked; null: it was not.';
comment on column backfill.tokens.last_used_at is 'When it was used last, to the minute.';
comment on column backfill.tokens.sessions is 'How many log-ins to the console it has open.';

-- --- requests ------------------------------------------------------------------------------------

create function backfill.note_use(p_token bigint)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('transaction_read_only')::boolean then
        return;
    end if;
    -- requests at the same time don't wait for each other
    update backfill.token t set last_used_at = clock_timestamp()
     where t.id = (select u.id from backfill.token u
                    where u.id = p_token and coalesce(u.last_used_at, '-infinity') < clock_timestamp() - interval '1 minute'
                      for no key update skip locked);
end $$;
comment on function backfill.note_use(bigint) is 'Writes down that a token is used, at most once a minute.';

create function backfill.authenticate(p_secret_hash bytea)
returns table (token bigint, name text, role text, pg_role text, reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_token backfill.token;
begin
    perform backfill.demand_server();
    select t.* into v_token from backfill.token t where t.hash = p_secret_hash;
    if not found then
        return;
    end if;
    token := v_token.id;
    name := v_token.name;
    role := v_token.role;
    pg_role := backfill.pg_role(v_token.role);
    reason := backfill.token_refusal(v_token);
    if reason is null then
        perform backfill.note_use(token);
    end if;
    return next;
end $$;
comment on function backfill.authenticate(bytea) is
    'The token with this SHA-256 of its secret, and why it is refused (revoked, expired; null: it is good). No row: there is none.';

-- --- log-ins to the console -----------------------------------------------------------------------------

create function backfill.login_source(p_from text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_address inet;
begin
    v_address := case when p_from ~* '^::ffff:[0-9.]+$' then substr(p_from, 8) else p_from end;
    -- who has an IPv6 address has all of its network's
    return coalesce(case family(v_address) when 6 then network(set_masklen(v_address, 64))::text else host(v_address) end, 'unknown');
exception when invalid_text_representation then
    return coalesce(nullif(left(p_from, 100), ''), 'unknown');
end $$;
comment on function backfill.login_source(text) is 'What failed log-ins from an address are counted under.';

create function backfill.count_login(p_source text, p_most integer, p_every interval)
returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_every double precision := extract(epoch from p_every);
    v_count backfill.login_failure;
begin
    -- the row stays locked to the end, so that of any number of log-ins at once none is uncounted
    insert into backfill.login_failure as f (source) values (p_source)
    on conflict (source) do update
       set level = greatest(f.level - greatest(extract(epoch from clock_timestamp() - f.at), 0) / v_every, 0), at = clock_timestamp()
    returning * into v_count;
    if v_count.level <= p_most - 1 then
        update backfill.login_failure f set level = f.level + 1 where f.source = p_source;
        return 0;
    end if;
    if coalesce(v_count.told_at, '-infinity') < clock_timestamp() - interval '10 minutes' then
        update backfill.login_failure f set told_at = clock_timestamp() where f.source = p_source;
        perform backfill.log_event('too_many_logins', null, null, jsonb_build_object('from', coalesce(nullif(p_source, ''), 'everywhere')));
    end if;
    return ceil((v_count.level - (p_most - 1)) * v_every);
end $$;
comment on function backfill.count_login(text, integer, interval) is
    'Counts a log-in as failed until it is known not to be, and returns 0; or the seconds to wait where so many have failed already. One is forgotten each p_every.';

create function backfill.uncount_login(p_source text)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    delete from backfill.login_failure f where f.source = p_source and f.level <= 1;
    update backfill.login_failure f set level = f.level - 1 where f.source = p_source
$$;
comment on function backfill.uncount_login(text) is 'Takes back what count_login() counted: nothing failed.';

create function backfill.prune_logins()
returns void language sql set search_path = pg_catalog, pg_temp as $$
    delete from backfill.login_failure f
     where f.source in (select o.source from backfill.login_failure o where o.at < clock_timestamp() - interval '1 hour' for update skip locked);
    delete from backfill.login_session s
     where s.hash in (select o.hash from backfill.login_session o
                       where coalesce(o.ended_at, o.expires_at) < clock_timestamp() - interval '31 days' for update skip locked)
$$;
comment on function backfill.prune_logins() is 'Forgets failed log-ins after an hour, and sessions a month after they ended. Called by log_in().';

create function backfill.log_in(p_secret_hash bytea, p_session_hash bytea, p_from text, p_lasts interval default '12 hours')
returns table (token bigint, name text, role text, pg_role text, reason text, wait_seconds integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_source text := backfill.login_source(p_from);
    v_known boolean;
begin
    perform backfill.demand_server();
    -- guesses from everywhere must not lock those out who have been here before
    v_known := exists (select from backfill.login_session s where s.source = v_source and s.created_at > clock_timestamp() - interval '31 days');
    -- the address's own first: one that is refused already adds nothing to the count of all
    wait_seconds := backfill.count_login(v_source, 10, '30 seconds');
    if wait_seconds = 0 and not v_known then
        wait_seconds := backfill.count_login('', 100, '1 second');
        if wait_seconds > 0 then
            perform backfill.uncount_login(v_source);
        end if;
    end if;
    if wait_seconds > 0 then
        reason := 'too many';
        return next;
        return;
    end if;
    select a.token, a.name, a.role, a.pg_role, a.reason into token, name, role, pg_role, reason from backfill.authenticate(p_secret_hash) a;
    if not found then
        reason := 'unknown';
    elsif reason is null then
        perform backfill.uncount_login(v_source);
        if not v_known then
            perform backfill.uncount_login('');
        end if;
        insert into backfill.login_session (hash, token, source, expires_at) values (p_session_hash, token, v_source, clock_timestamp() + p_lasts);
        insert into backfill.event (action, token, detail) values ('log_in', name, jsonb_build_object('from', v_source));
    end if;
    perform backfill.prune_logins();
    return next;
end $$;
comment on function backfill.log_in(bytea, bytea, text, interval) is
    'Opens a session of the console for a token''s secret. One row, whatever comes of it: reason is null, or unknown, revoked, expired, or too many (failed log-ins; wait so many seconds). To be committed in any case, since failures are counted.';

create function backfill.session_of(p_session_hash bytea, p_slide boolean default true)
returns table (token bigint, name text, role text, pg_role text, reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_session backfill.login_session;
    v_token backfill.token;
begin
    perform backfill.demand_server();
    select s.* into v_session from backfill.login_session s where s.hash = p_session_hash;
    if not found then
        return;
    end if;
    select t.* into v_token from backfill.token t where t.id = v_session.token;
    token := v_token.id;
    name := v_token.name;
    role := v_token.role;
    pg_role := backfill.pg_role(v_token.role);
    reason := coalesce(backfill.token_refusal(v_token), backfill.session_refusal(v_session));
    if reason is null and p_slide then
        perform backfill.note_use(token);
        if v_session.seen_at < clock_timestamp() - interval '1 minute' and not current_setting('transaction_read_only')::boolean then
            update backfill.login_session s set seen_at = clock_timestamp()
             where s.hash = (select o.hash from backfill.login_session o where o.hash = p_session_hash for no key update skip locked);
        end if;
    end if;
    return next;
end $$;
comment on function backfill.session_of(bytea, boolean) is
    'The token of a session of the console, and why it is refused (revoked, expired, logged out, session over; null: it is good). Without p_slide a look does not keep it open. No row: there is none.';

create function backfill.end_session(p_session_hash bytea)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_name text;
begin
    perform backfill.demand_server();
    update backfill.login_session s set ended_at = clock_timestamp() from backfill.token t
     where s.hash = p_session_hash and s.ended_at is null and t.id = s.token
    returning t.name into v_name;
    if v_name is null then
        return false;
    end if;
    insert into backfill.event (action, token) values ('log_out', v_name);
    return true;
end $$;
comment on function backfill.end_session(bytea) is 'Logs a session of the console out; whether it was open.';

-- --- roles ----------------------------------------------------------------------------------------
--
--   backfill_admin    what operator and runner may, and tokens
--   backfill_server   the login of `backfill serve`: takes the other roles on, and has none of their rights before

create or replace function backfill.set_up_roles()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'backfill.task'::regclass);
    v_one record;
begin
    for v_one in select g.function from backfill.guarded_functions() g loop
        execute format('revoke execute on function %s from public', v_one.function);
    end loop;
    for v_one in
        select r.name, r.purpose, case when r.name = 'backfill_server' then 'nologin noinherit' else 'nologin' end as attributes
          from backfill.roles() r where to_regrole(r.name) is null
    loop
        begin
            execute format('create role %I %s', v_one.name, v_one.attributes);
            execute format('comment on role %I is %L', v_one.name, v_one.purpose);
        exception
            when insufficient_privilege then
                raise notice 'the role % is missing, and % may not create it', v_one.name, current_user
                    using hint = format('somebody who may: create role %I %s; and then %I: select backfill.set_up_roles()', v_one.name, v_one.attributes, v_owner);
            when duplicate_object or unique_violation then
                raise notice 'the role % was created by somebody else at the same moment', v_one.name;
        end;
    end loop;

    -- What is missing gets its rights with the next call; the others have theirs until then.
    perform backfill.set_up_members();
    for v_one in select r.name from backfill.roles() r where r.name in ('backfill_reader', 'backfill_server') and to_regrole(r.name) is not null loop
        if pg_has_role((select n.nspowner from pg_namespace n where n.nspname = 'backfill'), 'usage') then
            execute format('grant usage on schema backfill to %I', v_one.name);
        else
            raise notice '% may not grant the use of schema backfill', current_user
                using hint = format('its owner may: grant usage on schema backfill to %I', v_one.name);
        end if;
    end loop;
    if to_regrole('backfill_reader') is not null then
        execute format('alter default privileges for role %I in schema backfill grant select on tables to backfill_reader', v_owner);
    end if;
    for v_one in
        -- what is secret is taken away, since the default privileges let readers see each new table
        select format(case when s.name is null then 'grant select on %s to backfill_reader' else 'revoke all on %s from backfill_reader' end, c.oid::regclass) as words,
               'backfill_reader' as role
          from pg_class c left join backfill.secret_tables() s on s.name = c.relname
         where c.relnamespace = 'backfill'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and pg_has_role(c.relowner, 'usage')
        union all
        select format('grant select on backfill.%I to %I', s.name, s.readable_by), s.readable_by from backfill.secret_tables() s where s.readable_by is not null
        union all
        select format('grant %s on %s to %I', t.privileges, t.relation, t.role), t.role from backfill.table_rights() t
        union all
        select format('grant execute on function %s to %I', g.function, r.name), r.name
          from backfill.roles() r join backfill.guarded_functions() g on g.name = any (r.may_call)
    loop
        continue when to_regrole(v_one.role) is null;
        execute v_one.words;
    end loop;
end $$;

create function backfill.set_up_members()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_one record;
    v_words text;
begin
    for v_one in
        select * from (values ('backfill_runner', 'backfill_reader', true), ('backfill_operator', 'backfill_reader', true),
                              ('backfill_admin', 'backfill_operator', true), ('backfill_admin', 'backfill_runner', true),
                              ('backfill_server', 'backfill_reader', false), ('backfill_server', 'backfill_operator', false),
                              ('backfill_server', 'backfill_admin', false)) m (member, role, inherits)
    loop
        continue when to_regrole(v_one.member) is null or to_regrole(v_one.role) is null;
        continue when pg_has_role(v_one.member, v_one.role, 'usage') = v_one.inherits and pg_has_role(v_one.member, v_one.role, 'member');
        v_words := format('grant %I to %I', v_one.role, v_one.member)
                   || case when not v_one.inherits and current_setting('server_version_num')::integer >= 160000 then ' with inherit false' else '' end;
        begin
            if not v_one.inherits then
                execute format('alter role %I noinherit', v_one.member);
            end if;
            execute v_words;
        exception when insufficient_privilege then
            raise notice '% may not make % a member of %', current_user, v_one.member, v_one.role
                using hint = 'somebody who may: ' || v_words;
        end;
    end loop;
end $$;
comment on function backfill.set_up_members() is 'Makes each role a member of those whose rights it has, and backfill_server of those that it takes on. Called by set_up_roles().';

drop function backfill.take_down_roles();
create function backfill.take_down_roles(p_roles text[] default null)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = 'backfill.task'::regclass);
    v_role record;
    v_one record;
    v_detail text;
begin
    for v_role in select r.name from backfill.roles() r
                   where to_regrole(r.name) is not null and r.name = any (coalesce(p_roles, array[r.name])) order by r.name desc loop
        for v_one in
            select format('function %s', g.function) as object from backfill.guarded_functions() g
            union all
            select format('table %s', c.oid::regclass) from pg_class c
             where c.relnamespace = 'backfill'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and pg_has_role(c.relowner, 'usage')
            union all
            select 'schema backfill' from pg_namespace n where n.nspname = 'backfill' and pg_has_role(n.nspowner, 'usage')
        loop
            execute format('revoke all on %s from %I', v_one.object, v_role.name);
        end loop;
        execute format('alter default privileges for role %I in schema backfill revoke all on tables from %I', v_owner, v_role.name);
    end loop;
    -- Members first, the reader last. What this did not make, or what somebody still has, stays.
    for v_role in select r.name, r.purpose, to_regrole(r.name)::oid as id from backfill.roles() r
                   where to_regrole(r.name) is not null and r.name = any (coalesce(p_roles, array[r.name])) order by r.name = 'backfill_reader' loop
        if shobj_description(v_role.id, 'pg_authid') is distinct from v_role.purpose then
            raise notice 'the role % stays: it was not made by pgbackfill', v_role.name;
        elsif exists (select from pg_auth_members m join pg_roles u on u.oid = m.member
                       where m.roleid = v_role.id and u.rolname not in (select r.name from backfill.roles() r)
                         and not (u.rolname = current_user and m.admin_option)) then
            raise notice 'the role % stays: it has members', v_role.name
                using hint = format('if nobody needs it: drop role %I', v_role.name);
        else
            begin
                execute format('drop role %I', v_role.name);
            exception when others then
                get stacked diagnostics v_detail = pg_exception_detail;
                raise notice 'the role % stays: %', v_role.name, sqlerrm
                    using detail = v_detail, hint = format('when nothing needs it any more: drop role %I', v_role.name);
            end;
        end if;
    end loop;
end $$;
comment on function backfill.take_down_roles(text[]) is
    'Takes from the roles (null: all) what is theirs in this database, and drops those that nobody else has: no member, no other database.';
