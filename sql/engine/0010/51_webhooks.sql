-- pgbackfill, engine: webhooks, how they are set

create function backfill.has_webhooks()
returns boolean language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (select from backfill.webhook w where w.enabled)
$$;
comment on function backfill.has_webhooks() is 'Whether anybody is to be told of anything.';

create function backfill.webhook_host(p_url text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select substring(p_url from '^[^/]*//[^/?]*') || case when p_url ~ '//[^/?]+/?$' then '' else '/...' end
$$;
comment on function backfill.webhook_host(text) is 'As much of a webhook''s address as may be shown: what follows the host is often a secret.';

create function backfill.new_webhook_secret()
returns bytea language sql volatile set search_path = pg_catalog, pg_temp as $$
    -- 122 random bits each
    select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
$$;
comment on function backfill.new_webhook_secret() is '32 random bytes.';

create function backfill.known_webhook(p_name text)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform from backfill.webhook w where w.name = p_name for update;
    if not found then
        raise exception 'there is no webhook named %', quote_literal(p_name)
            using errcode = 'BF030', hint = 'there are: ' || coalesce((select string_agg(w.name, ', ' order by w.name) from backfill.webhook w), 'none');
    end if;
end $$;
comment on function backfill.known_webhook(text) is 'Locks a webhook, or an error that names those there are.';

create function backfill.set_webhook(
    p_name text, p_url text default null, p_moments text[] default null, p_task text default null,
    p_max_attempts integer default null, p_enabled boolean default null, p_secret text default null)
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_old backfill.webhook;
    v_secret bytea;
begin
    if p_task is not null then
        perform backfill.known_task(p_task);
    end if;
    if p_secret is not null then
        if p_secret !~ '^whsec_[A-Za-z0-9+/]+={0,2}$' then
            raise exception 'a webhook''s secret is whsec_ and 24 to 64 bytes in base64'
                using errcode = 'invalid_parameter_value', hint = 'without one, a secret is made and returned';
        end if;
        v_secret := decode(substring(p_secret from 7), 'base64');
    end if;
    select * into v_old from backfill.webhook w where w.name = p_name for update;
    if v_old.name is null and p_url is null then
        raise exception 'there is no webhook named %', quote_literal(p_name)
            using errcode = 'BF030', hint = format('a new one needs an address: select backfill.set_webhook(%L, ''https://...'')', p_name);
    end if;
    if v_old.name is null then
        v_secret := coalesce(v_secret, backfill.new_webhook_secret());
    end if;
    insert into backfill.webhook (name, url, moments, task, enabled, max_attempts, secret)
    values (p_name, coalesce(p_url, v_old.url), coalesce(p_moments, v_old.moments, array['after_run']), coalesce(p_task, v_old.task),
            coalesce(p_enabled, v_old.enabled, true), coalesce(p_max_attempts, v_old.max_attempts, 10), coalesce(v_secret, v_old.secret))
    on conflict (name) do update
       set url = excluded.url, moments = excluded.moments, task = excluded.task, enabled = excluded.enabled, max_attempts = excluded.max_attempts,
           secret = excluded.secret, note = case when excluded.enabled then null else webhook.note end, set_by = backfill.actor(), set_at = clock_timestamp();
    return case when v_old.name is null and p_secret is null then 'whsec_' || encode(v_secret, 'base64') end;
end $$;
comment on function backfill.set_webhook(text, text, text[], text, integer, boolean, text) is
    'Sets a webhook, a new one or one that is there; what is null stays as it is. Returns the secret of a new one, which nobody is shown again, unless one was given.';

create function backfill.rotate_webhook_secret(p_name text, p_overlap interval default '24 hours')
returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_secret bytea := backfill.new_webhook_secret();
begin
    perform backfill.known_webhook(p_name);
    update backfill.webhook w
       set old_secret = w.secret, old_until = clock_timestamp() + p_overlap, secret = v_secret, set_by = backfill.actor(), set_at = clock_timestamp()
     where w.name = p_name;
    return 'whsec_' || encode(v_secret, 'base64');
end $$;
comment on function backfill.rotate_webhook_secret(text, interval) is 'Gives a webhook a new secret and returns it; the old one signs too until the overlap is over.';

create function backfill.drop_webhook(p_name text)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.known_webhook(p_name);
    delete from backfill.webhook w where w.name = p_name;
end $$;
comment on function backfill.drop_webhook(text) is 'Takes a webhook away, with what was not sent yet.';

create function backfill.test_webhook(p_name text)
returns uuid language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_id uuid;
begin
    perform backfill.known_webhook(p_name);
    insert into backfill.delivery (webhook, moment, body) values (p_name, 'test', backfill.hook_message('test', null)) returning id into v_id;
    return v_id;
end $$;
comment on function backfill.test_webhook(text) is 'Writes a message of type test to a webhook, also one that is disabled; it is tried once. Returns the delivery.';

create function backfill.webhook_was_set() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_op = 'DELETE' then
        update backfill.delivery d set state = 'failed', ended_at = clock_timestamp(), taken_at = null, error = 'the webhook was dropped'
         where d.webhook = old.name and d.state = 'waiting';
        perform backfill.log_event('drop_webhook', old.task, null, jsonb_build_object('webhook', old.name));
    else
        -- neither a secret nor an address in the audit, which everybody may read
        perform backfill.log_event('set_webhook', new.task, null, jsonb_build_object(
            'webhook', new.name, 'host', backfill.webhook_host(new.url), 'moments', new.moments, 'enabled', new.enabled, 'max_attempts', new.max_attempts,
            'secret', case when tg_op = 'INSERT' then 'new' when old.secret <> new.secret then 'changed' else 'the same' end) || coalesce(jsonb_build_object('note', new.note), '{}'));
    end if;
    return null;
end $$;
comment on function backfill.webhook_was_set() is 'Puts a webhook that was set or dropped into the audit.';
create trigger webhook_is_set after insert or update or delete on backfill.webhook
    for each row execute function backfill.webhook_was_set();
comment on trigger webhook_is_set on backfill.webhook is 'However a webhook is set, it leaves its event.';
