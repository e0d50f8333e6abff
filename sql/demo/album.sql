-- The demo's second application: users, their pictures, and people whom they know by name.
--
-- Its tables as they are before any backfill; faces and who is on them are left to the migration of
-- face_index. The comment on a table tells the demo's own from one that only has its name.

create table if not exists public.users (
    id   uuid primary key default gen_random_uuid(),
    name text not null
);
comment on table public.users is 'pgbackfill demo: users of the sample application.';
comment on column public.users.id is 'The user.';
comment on column public.users.name is 'Their name.';

create table if not exists public.assets (
    id          uuid primary key default gen_random_uuid(),
    user_id     uuid not null references public.users (id) on delete cascade,
    storage_url text,
    mime_type   text not null default 'image/jpeg',
    approved    boolean not null default true,
    deleted     boolean not null default false,
    created_at  timestamptz not null default now()
);
comment on table public.assets is 'pgbackfill demo: pictures in the users'' albums.';
comment on column public.assets.id is 'The picture.';
comment on column public.assets.user_id is 'Whose it is.';
comment on column public.assets.storage_url is 'Where its file is, below the folder of the albums.';
comment on column public.assets.mime_type is 'What it is.';
comment on column public.assets.approved is 'Whether it may be shown.';
comment on column public.assets.deleted is 'Whether the user took it out.';
comment on column public.assets.created_at is 'When the application got it.';

create table if not exists public.person_groups (
    id      uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.users (id) on delete cascade,
    name    text not null
);
comment on table public.person_groups is 'pgbackfill demo: people whom users know by name.';
comment on column public.person_groups.id is 'The person.';
comment on column public.person_groups.user_id is 'Who knows them.';
comment on column public.person_groups.name is 'Their name.';
