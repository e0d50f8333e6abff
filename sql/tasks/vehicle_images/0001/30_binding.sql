-- vehicle_images: the binding to the application's tables. The DBA may replace any of it, as long as
-- the columns of the view and the meaning of the functions stay.

create view backfill.needs_vehicle_images as
select v.{key}::text as key, v.{key} as native_key, md5((v.{metadata} -> 'image_urls')::text) as revision,
       -- a longer list is nobody's, and would go to and fro with each step
       jsonb_path_query_array(v.{metadata} -> 'image_urls', '$[0 to 999]') as image_urls,
       (select jsonb_agg(jsonb_build_object('position', u.position, 'url', u.url, 'state', u.state, 'attempts', u.attempts,
                                            'error_class', u.error_class, 'error_message', u.error_message, 'file_hash', u.file_hash, 'refusals', u.refusals,
                                            'wait', greatest(extract(epoch from u.try_after - clock_timestamp()), 0)) order by u.position)
          from backfill.vehicle_url u where u.vehicle = v.{key}) as outcomes,
       (select jsonb_build_object('backoff_base', extract(epoch from t.backoff_base), 'backoff_max', extract(epoch from t.backoff_max))
          from backfill.task t where t.name = 'vehicle_images') as retry_policy
  from {table} v
 -- the condition of the partial index, word for word
 where {needs_condition}
   -- without pictures, but for those of an earlier step
   and (not exists (select from {images} i where i.{vehicle_id} = v.{key})
        or exists (select from backfill.vehicle_url u where u.vehicle = v.{key}));
comment on view backfill.needs_vehicle_images is 'Public vehicles that name pictures by URL, have none, and are not marked as done.';
comment on column backfill.needs_vehicle_images.key is 'The vehicle''s key, as text.';
comment on column backfill.needs_vehicle_images.native_key is 'The vehicle''s key, to scan by.';
comment on column backfill.needs_vehicle_images.revision is 'Changes when the list of URLs does.';
comment on column backfill.needs_vehicle_images.image_urls is 'The URLs, as the application has them; the first 1,000 of a longer list.';
comment on column backfill.needs_vehicle_images.outcomes is 'What became of them in earlier steps.';
comment on column backfill.needs_vehicle_images.retry_policy is 'The shortest and the longest wait before a URL is tried again, seconds.';

create function backfill.vehicle_images_results(p_results jsonb)
returns table (vehicle {key_type}, revision text, outcomes jsonb, pictures jsonb, done boolean, error text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select v.{key}, r.revision, r.result -> 'outcomes', r.result -> 'pictures', (r.result ->> 'done')::boolean, r.result ->> 'error'
      from jsonb_to_recordset(p_results) as r (key text, revision text, result jsonb)
      join {table} v on v.{key} = r.key::{key_type}
$$;
comment on function backfill.vehicle_images_results(jsonb) is 'A batch of results, a row a vehicle; a vehicle that is gone has none.';

create function backfill.apply_vehicle_images(results jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
begin
    -- Two processes may have the same vehicle in hand, where one of them was presumed dead.
    perform from {table} v
      where v.{key} in (select r.vehicle from backfill.vehicle_images_results(results) r)
      order by v.{key} for no key update;

    -- an outcome without a state is that of an earlier step
    delete from backfill.vehicle_url u
     using (select r.vehicle, jsonb_object_agg(o.position, o.url) as urls
              from backfill.vehicle_images_results(results) r
             cross join jsonb_to_recordset(r.outcomes) as o (position integer, url text)
             group by r.vehicle) r
     where u.vehicle = r.vehicle and u.url is distinct from r.urls ->> u.position::text;
    insert into backfill.vehicle_url as u (vehicle, position, url, state, attempts, host, error_class, error_message, file_hash, refusals, try_after)
    select r.vehicle, o.position, o.url, o.state, o.attempts, o.host, o.error_class, o.error_message, o.file_hash, coalesce(o.refusals, 0),
           -- not the clock's time, so that it is due when its job is
           now() + make_interval(secs => o.after)
      from backfill.vehicle_images_results(results) r
     cross join jsonb_to_recordset(r.outcomes) as o (
           position integer, url text, state text, attempts integer, host text, error_class text, error_message text, file_hash text,
           refusals integer, after double precision)
     where o.state is not null
    on conflict (vehicle, position) do update
       set state = excluded.state, attempts = excluded.attempts, host = excluded.host, error_class = excluded.error_class,
           error_message = excluded.error_message, file_hash = excluded.file_hash, refusals = excluded.refusals, try_after = excluded.try_after, at = excluded.at;

    -- Of several URLs with the same file the first in the list has the row, whichever came first;
    -- a place that another URL has taken by now is none.
    insert into {images} as i ({vehicle_id}, image_url, storage_path, file_hash, file_size, mime_type, filename,
                               source, source_url, position, is_primary, taken_at, exif_data)
    select distinct on (r.vehicle, p.file_hash)
           r.vehicle, p.image_url, p.storage_path, p.file_hash, p.file_size, p.mime_type, p.filename,
           {source}, p.source_url, p.position, false, p.taken_at, p.exif_data
      from backfill.vehicle_images_results(results) r
     cross join jsonb_to_recordset(r.pictures) as p (
           position integer, source_url text, image_url text, storage_path text, file_hash text, file_size bigint,
           mime_type text, filename text, taken_at timestamptz, exif_data jsonb)
     order by r.vehicle, p.file_hash, p.position
    on conflict ({vehicle_id}, file_hash) do update
       set position = excluded.position, source_url = excluded.source_url, filename = excluded.filename
     where i.source = {source}
       and (excluded.position < i.position
            or not exists (select from backfill.vehicle_url u
                            where u.vehicle = i.{vehicle_id} and u.position = i.position and u.file_hash = i.file_hash));

    perform backfill.vehicle_images_done(r.vehicle, r.error)
       from backfill.vehicle_images_results(results) r
      where r.done
        -- one whose list was changed meanwhile is done again
        and not exists (select from backfill.needs_vehicle_images n
                         where n.native_key = r.vehicle and n.revision is distinct from r.revision);
end $$;
comment on function backfill.apply_vehicle_images(jsonb) is 'Writes a batch of steps: outcomes of URLs, rows of pictures, and the marks of vehicles that are done.';

create function backfill.vehicle_images_done(p_vehicle {key_type}, p_error text)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_first text;
begin
    if not exists (select from {images} i where i.{vehicle_id} = p_vehicle and i.is_primary) then
        update {images} i set is_primary = true
         where i.{vehicle_id} = p_vehicle
           and i.file_hash = (select f.file_hash from {images} f where f.{vehicle_id} = p_vehicle and f.source = {source} order by f.position limit 1)
        returning i.image_url into v_first;
    else
        select i.image_url into v_first from {images} i where i.{vehicle_id} = p_vehicle and i.is_primary limit 1;
    end if;
    update {table} v
       set {metadata} = case jsonb_typeof(v.{metadata}) when 'object' then (v.{metadata} - 'images_backfilled_error') || jsonb_build_object(
               'images_backfilled', true, 'images_backfilled_at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
               'images_backfilled_count', (select count(distinct u.file_hash) from backfill.vehicle_url u where u.vehicle = p_vehicle),
               'images_backfilled_method', {source}::text)
           || case when p_error is null then '{{}}' else jsonb_build_object('images_backfilled_error', p_error) end
               else v.{metadata} end{primary}
     where v.{key} = p_vehicle;
    -- whoever takes the mark away means these
    update backfill.vehicle_url u set attempts = 0 where u.vehicle = p_vehicle and u.state = 'failed';
end $$;
comment on function backfill.vehicle_images_done({key_type}, text) is 'Marks a vehicle as done, with the number of its pictures and why others are missing, and gives it a first picture where it has none.';

create function backfill.fail_vehicle_images(failed jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform from {table} v
      where v.{key} in (select f.key::{key_type} from jsonb_to_recordset(failed) as f (key text))
      order by v.{key} for no key update;
    update {table} v
       set {metadata} = v.{metadata} || jsonb_build_object('images_backfilled_error', f.error_message)
      from jsonb_to_recordset(failed) as f (key text, error_message text)
     where v.{key} = f.key::{key_type} and jsonb_typeof(v.{metadata}) = 'object';
    -- whoever takes the vehicle up again means these, and may allow other addresses then
    update backfill.vehicle_url u set state = 'pending', attempts = 0, try_after = null
      from jsonb_to_recordset(failed) as f (key text)
     where u.vehicle = f.key::{key_type} and u.state in ('pending', 'failed', 'refused');
end $$;
comment on function backfill.fail_vehicle_images(jsonb) is 'Notes the error with vehicles that failed for good; they are not marked as done, and their URLs are tried anew when the vehicles are.';

create function backfill.keeps_vehicle_images(p_paths text[])
returns setof text language sql stable set search_path = pg_catalog, pg_temp as $$
    select distinct i.storage_path from {images} i where i.storage_path = any (p_paths)
$$;
comment on function backfill.keeps_vehicle_images(text[]) is 'Those of the paths that a picture of a vehicle refers to.';

create function backfill.vehicle_images_prune()
returns bigint language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_gone bigint;
begin
    delete from backfill.vehicle_url u where not exists (select from {table} v where v.{key} = u.vehicle);
    get diagnostics v_gone = row_count;
    return v_gone;
end $$;
comment on function backfill.vehicle_images_prune() is 'Forgets the outcomes of vehicles that are no longer there, and returns how many URLs these were. Reads the whole table of outcomes.';

create view backfill.vehicle_images_coverage as
select count(*) as vehicles, count(*) filter (where v.{metadata} ->> 'image_urls' is not null) as with_urls,
       count(*) filter (where (v.{metadata} ->> 'images_backfilled') = 'true') as backfilled,
       coalesce(sum(case when (v.{metadata} ->> 'images_backfilled') = 'true' and (v.{metadata} ->> 'images_backfilled_count') ~ '^[0-9]{{1,9}}$'
                         then (v.{metadata} ->> 'images_backfilled_count')::bigint end), 0)::bigint as pictures,
       count(*) filter (where (v.{metadata} ->> 'images_backfilled_error') is not null) as with_errors
  from {table} v;
comment on view backfill.vehicle_images_coverage is 'How many vehicles have their pictures. Reads the whole table.';
comment on column backfill.vehicle_images_coverage.vehicles is 'All vehicles.';
comment on column backfill.vehicle_images_coverage.with_urls is 'Those that name pictures by URL.';
comment on column backfill.vehicle_images_coverage.backfilled is 'Those marked as done.';
comment on column backfill.vehicle_images_coverage.pictures is 'Pictures that these have got.';
comment on column backfill.vehicle_images_coverage.with_errors is 'Vehicles some of whose pictures are missing, or that failed.';

create view backfill.vehicle_images_checks as
with marked as (
    select count(*) as vehicles,
           count(*) filter (where (v.{metadata} ->> 'images_backfilled_count') is distinct from
               (select count(distinct u.file_hash)::text from backfill.vehicle_url u where u.vehicle = v.{key})) as miscounted,
           count(*) filter (where exists (select from backfill.vehicle_url u where u.vehicle = v.{key} and u.state = 'pending')) as unfinished
      from {table} v
     where (v.{metadata} ->> 'images_backfilled') = 'true'
       and exists (select from backfill.vehicle_url u where u.vehicle = v.{key})
), pictures as (
    select count(*) as pictures,
           count(*) filter (where i.storage_path is null or i.file_hash is null or i.file_size is null or strpos(i.storage_path, i.file_hash) = 0) as odd
      from {images} i where i.source = {source}
), lost as (
    select count(*) as urls from backfill.vehicle_url u
     where u.state = 'stored' and exists (select from {table} v where v.{key} = u.vehicle)
       and not exists (select from {images} i where i.{vehicle_id} = u.vehicle and i.file_hash = u.file_hash)
), twice as (
    select count(*) as vehicles from (
        select from {images} i where i.is_primary group by i.{vehicle_id} having count(*) > 1 and bool_or(i.source = {source})) t
)
select c.name, c.ok, c.detail
  from marked m cross join pictures p cross join lost l cross join twice t
 cross join lateral (values
       ('every marked vehicle says how many pictures it got', m.miscounted = 0, format('%s of %s do not', m.miscounted, m.vehicles)),
       ('no marked vehicle has a URL that is to be tried', m.unfinished = 0, format('%s have', m.unfinished)),
       ('every picture stored has its path, hash and size', p.odd = 0, format('%s of %s have not', p.odd, p.pictures)),
       ('every URL that was stored has its picture', l.urls = 0, format('%s have none; who deleted a picture deletes this finding with: delete from backfill.vehicle_url', l.urls)),
       ('no vehicle has two first pictures', t.vehicles = 0, format('%s have', t.vehicles))
       ) as c (name, ok, detail);
comment on view backfill.vehicle_images_checks is 'What should be true of the pictures and marks. Reads the whole tables.';
comment on column backfill.vehicle_images_checks.name is 'What should be true.';
comment on column backfill.vehicle_images_checks.ok is 'Whether it is.';
comment on column backfill.vehicle_images_checks.detail is 'The figures behind it.';
