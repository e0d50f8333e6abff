-- The demo's sample application: its tables, as they are before any backfill.
--
-- What is computed later (images.quality_score and what belongs to it) is left to the migrations
-- of the tasks. The comment on a table tells the demo's own from one that only has its name.

create table if not exists public.images (
    id          uuid primary key default gen_random_uuid(),
    url         text not null,
    width       integer,
    height      integer,
    source_type text not null,
    boxes       jsonb,
    created_at  timestamptz not null default now(),
    constraint images_width_is_positive check (width > 0),
    constraint images_height_is_positive check (height > 0),
    constraint images_source_type_is_known check (source_type in ('unsplash', 'local_upload', 'url')),
    constraint images_boxes_is_an_array check (jsonb_typeof(boxes) = 'array')
);
comment on table public.images is 'pgbackfill demo: pictures of the sample application.';
comment on column public.images.id is 'The image.';
comment on column public.images.url is 'Where its file is: absolute, or for a local upload relative to the application''s own address.';
comment on column public.images.width is 'Width in pixels as far as the application knows; null: it does not.';
comment on column public.images.height is 'Height in pixels as far as the application knows; null: it does not.';
comment on column public.images.source_type is 'Where the picture came from: unsplash, local_upload or url.';
comment on column public.images.boxes is 'Boxes that somebody drew around the subject or its parts, in shares (0..1) of width and height: {label, x, y, width, height} or {label, topLeft, bottomRight}. Null: none yet.';
comment on column public.images.created_at is 'When the application got the image.';
