-- Purpose: Which of these pictures are kept, and how large their originals are.
-- Parameters: generations: of each picture; pictures: its SHA-256, hexadecimal
-- Index: image_picture by primary key
-- Lock order: none
select p.generation, w.picture, p.width, p.height
  from unnest(%(generations)s::integer[], %(pictures)s::text[]) as w (generation, picture)
  join backfill.image_picture p on p.generation = w.generation and p.sha256 = decode(w.picture, 'hex')
 where p.thumbnail is not null
