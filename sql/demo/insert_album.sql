-- Purpose: add those users, people and pictures of the albums that are not there yet.
-- Parameters: users and people, JSON arrays of {id, name} and {id, user_id, name}; assets, one of
--   {id, user_id, storage_url}.
-- Index used: the primary keys, for the conflicts.
-- Lock order: users, people, assets, each in the order given.
with users as (
    insert into public.users (id, name)
    select u.id, u.name from jsonb_to_recordset(%(users)s::jsonb) as u (id uuid, name text)
    on conflict (id) do nothing
), people as (
    insert into public.person_groups (id, user_id, name)
    select p.id, p.user_id, p.name
      from jsonb_to_recordset(%(people)s::jsonb) as p (id uuid, user_id uuid, name text)
    on conflict (id) do nothing
)
insert into public.assets (id, user_id, storage_url)
select a.id, a.user_id, a.storage_url
  from jsonb_to_recordset(%(assets)s::jsonb) as a (id uuid, user_id uuid, storage_url text)
on conflict (id) do nothing
