-- Purpose: add those sample rows that are not there yet.
-- Parameters: rows, a JSON array of {id, url, width, height, source_type, boxes, minutes}; the
--   last is the row's age.
-- Index used: images_pkey, for the conflict.
-- Lock order: rows in the order given, which is always the catalogue's.
insert into public.images (id, url, width, height, source_type, boxes, created_at)
select r.id, r.url, r.width, r.height, r.source_type, r.boxes, now() - r.minutes * interval '1 minute'
  from jsonb_to_recordset(%(rows)s::jsonb) as r
       (id uuid, url text, width integer, height integer, source_type text, boxes jsonb, minutes integer)
on conflict (id) do nothing
