-- image_signals: pictures by perceptual hash, found again by Hamming distance
--
-- Two pictures are candidates where a 64-bit hash of one differs from one of the other in at most so
-- many bits, the radius. No candidate is missed. A hash is cut into four bands, A (bits 63..47),
-- B (46..30), C (29..14) and D (13..0), and of each band every value is looked up that is within its
-- share of the errors. Shares that sum to radius - 3 are enough, since beyond its share a band is
-- off by at least one bit more (M. Norouzi, A. Punjani, D. J. Fleet: Fast Exact Search in Hamming
-- Space with Multi-Index Hashing, 2014).
--
-- For a radius of 8 to 10, where no band is off by less than two bits, whether a band is off by an
-- even or an odd number says which of the others to look up. Let a, b, c, d >= 2 be the errors in the
-- bands, a + b + c + d <= 10. Then one of these holds, and nothing else is looked up:
--     a = 2
--     b = 2 and a is odd
--     c = 2 and a + b is even and d is even
-- For if a = 3 and b > 2, then b = 3 and c = d = 2; and if a > 3, then a = 4 and b = c = d = 2. So the
-- indexes of B and C hold the parity of other bands in their lowest bits.
--
-- What was measured, and what lost, is in docs/decisions/duplicates-hash-search.md.
--
-- There is one row a distinct hash, and its pictures are in a table apart, so that a template which
-- thousands of pictures share is one row to a search. In a large cluster a search stops when it has
-- enough, and says so (large_cluster); the nearest are still among what it returns.
--
-- Searches read indexes only, which the visibility map has to allow: both tables are vacuumed after
-- a number of inserts, not after a share of their size.
--
-- A picture is known by the SHA-256 of its file, and a generation is one algorithm with its
-- parameters. So a picture's hashes in a generation are always the same: rows are added and removed,
-- never changed.
--
-- Lock order: image_hash in order of the hash, then image_hash_owner in order of (hash, picture).
-- Adds at the same time don't deadlock, as long as each transaction adds once.
--
-- Two transactions that add and then search at the same moment don't see each other's pictures. To
-- miss no pair, search in a transaction that begins when the add has committed.

create function backfill.image_hash_band_a(p_hash bigint)
returns integer language sql immutable parallel safe
return ((p_hash >> 47) & 131071)::integer;
comment on function backfill.image_hash_band_a(bigint) is 'Bits 63..47 of a hash. The index is made of it: never replace it.';

create function backfill.image_hash_band_b(p_hash bigint)
returns integer language sql immutable parallel safe
return (((p_hash >> 30) & 131071) * 2 + (bit_count((p_hash >> 47)::bit(17)) & 1))::integer;
comment on function backfill.image_hash_band_b(bigint) is 'Bits 46..30 of a hash, and last the parity of band A. The index is made of it: never replace it.';

create function backfill.image_hash_band_c(p_hash bigint)
returns integer language sql immutable parallel safe
return (((p_hash >> 14) & 65535) * 4 + (bit_count((p_hash >> 30)::bit(34)) & 1) * 2 + (bit_count(p_hash::bit(14)) & 1))::integer;
comment on function backfill.image_hash_band_c(bigint) is 'Bits 29..14 of a hash, then the parity of A and B together, and last that of D. The index is made of it: never replace it.';

create function backfill.image_hash_band_d(p_hash bigint)
returns integer language sql immutable parallel safe
return (p_hash & 16383)::integer;
comment on function backfill.image_hash_band_d(bigint) is 'Bits 13..0 of a hash. The index is made of it: never replace it.';

create table backfill.image_hash (
    generation integer not null,
    hash       bigint not null
);
create index image_hash_by_a on backfill.image_hash (backfill.image_hash_band_a(hash), generation) include (hash);
-- This one also sees to it that a hash is there once a generation, since the band follows from the
-- hash: a primary key apart would be a fifth index to write. It is the one that searches read least
-- of; the others keep equal values in the order of the table, which is gentler on the visibility map.
create unique index image_hash_by_b on backfill.image_hash (backfill.image_hash_band_b(hash), generation, hash);
create index image_hash_by_c on backfill.image_hash (backfill.image_hash_band_c(hash), generation) include (hash);
create index image_hash_by_d on backfill.image_hash (backfill.image_hash_band_d(hash), generation) include (hash);
-- without a primary key, a publication of all tables would otherwise refuse the prune's deletes
alter table backfill.image_hash replica identity full;
alter table backfill.image_hash set (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000);
comment on table backfill.image_hash is 'Perceptual hashes that any picture has or had, each once a generation.';
comment on column backfill.image_hash.generation is 'Version of algorithm and parameters that made the hash; two of them are never compared.';
comment on column backfill.image_hash.hash is 'The hash: 64 bits, as a signed integer.';
comment on index backfill.image_hash_by_a is 'Hashes by band A.';
comment on index backfill.image_hash_by_b is 'Hashes by band B and the parity of A; each once a generation.';
comment on index backfill.image_hash_by_c is 'Hashes by band C and the parities of A with B and of D.';
comment on index backfill.image_hash_by_d is 'Hashes by band D.';

create table backfill.image_hash_owner (
    generation integer not null,
    hash       bigint not null,
    sha256     bytea not null,
    constraint image_hash_owner_pkey primary key (generation, hash, sha256)
);
alter table backfill.image_hash_owner set (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000);
comment on table backfill.image_hash_owner is 'Which pictures have a hash; a picture may have several. Each of the hashes is in image_hash.';
comment on column backfill.image_hash_owner.generation is 'Generation of the hash.';
comment on column backfill.image_hash_owner.hash is 'The hash.';
comment on column backfill.image_hash_owner.sha256 is 'SHA-256 of the picture''s file.';

create table backfill.image_hash_mask (
    radius smallint constraint image_hash_mask_pkey primary key,
    a      integer[] not null,
    b      integer[] not null,
    c      integer[] not null,
    d      integer[] not null,
    constraint image_hash_mask_radius_in_range check (radius between 0 and 14)
);
comment on table backfill.image_hash_mask is 'For each radius, which bits to flip in a hash''s bands to get the values to look up. Fixed; searches read it.';
comment on column backfill.image_hash_mask.radius is 'The radius, bits.';
comment on column backfill.image_hash_mask.a is 'What to flip in image_hash_band_a().';
comment on column backfill.image_hash_mask.b is 'What to flip in image_hash_band_b(), its parity bit included.';
comment on column backfill.image_hash_mask.c is 'What to flip in image_hash_band_c(), its parity bits included.';
comment on column backfill.image_hash_mask.d is 'What to flip in image_hash_band_d().';

insert into backfill.image_hash_mask (radius, a, b, c, d)
with recursive grown (band, flips, mask, lowest) as (
    select w.band, 0, 0, w.width from (values ('a', 17), ('b', 17), ('c', 16), ('d', 14)) as w (band, width)
    union all
    select g.band, g.flips + 1, g.mask | (1 << b.bit), b.bit
      from grown g cross join lateral generate_series(0, g.lowest - 1) as b (bit)
     where g.flips < 3
), share (radius, band, flips) as (
    -- shares that sum to radius - 3, those of the wide bands growing first; -1: not looked up
    select r.radius, o.band, (r.radius + o.ahead) / 4 - 1
      from generate_series(0, 14) as r (radius) cross join (values ('a', 4), ('b', 3), ('c', 2), ('d', 1)) as o (band, ahead)
), ending (band, size, parity, always) as (
    -- the parity bits that follow a band's own; where not always, the proof above leaves them out
    values ('a', 1, 0, true), ('d', 1, 0, true), ('b', 2, 1, true), ('b', 2, 0, false),
           ('c', 4, 0, true), ('c', 4, 1, false), ('c', 4, 2, false), ('c', 4, 3, false)
), value (radius, band, mask) as (
    select s.radius, s.band, g.mask * e.size + e.parity
      from share s join grown g on g.band = s.band and g.flips <= s.flips
      join ending e on e.band = s.band and (e.always or g.flips < 2 or s.radius > 10)
)
select v.radius,
       coalesce(array_agg(v.mask order by v.mask) filter (where v.band = 'a'), array[]::integer[]),
       coalesce(array_agg(v.mask order by v.mask) filter (where v.band = 'b'), array[]::integer[]),
       coalesce(array_agg(v.mask order by v.mask) filter (where v.band = 'c'), array[]::integer[]),
       coalesce(array_agg(v.mask order by v.mask) filter (where v.band = 'd'), array[]::integer[])
  from value v group by v.radius;

create function backfill.image_hash_add_batch(p_generation integer, p_pictures jsonb)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_hash bigint[];
    v_sha256 bytea[];
    v_new bigint;
begin
    select array_agg(h.hash), array_agg(decode(p.key, 'hex')) into v_hash, v_sha256
      from jsonb_to_recordset(p_pictures) as p (key text, hashes bigint[])
     cross join lateral unnest(p.hashes) as h (hash)
     where h.hash is not null;

    insert into backfill.image_hash (generation, hash)
    select distinct p_generation, h.hash from unnest(v_hash) as h (hash) order by h.hash
    on conflict do nothing;
    get diagnostics v_new = row_count;

    insert into backfill.image_hash_owner (generation, hash, sha256)
    select distinct p_generation, o.hash, o.sha256 from unnest(v_hash, v_sha256) as o (hash, sha256) order by o.hash, o.sha256
    on conflict do nothing;
    return v_new;
end $$;
comment on function backfill.image_hash_add_batch(integer, jsonb) is
    'Adds pictures: an array of objects with key (SHA-256, hex) and hashes (bigints or nulls). May be repeated. Returns how many of the hashes were new.';

create function backfill.image_hash_prune()
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_count bigint;
begin
    -- shuts out adds, so that no hash goes that a picture is about to get; searches go on
    lock table backfill.image_hash in share row exclusive mode;
    delete from backfill.image_hash i
     where not exists (select from backfill.image_hash_owner o where o.generation = i.generation and o.hash = i.hash);
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function backfill.image_hash_prune() is
    'Forgets hashes that no picture has any more, and returns how many. Reads both tables to the end, and adds wait meanwhile.';

create function backfill.image_hash_probe(
    p_generation integer, p_hashes bigint[], p_masks backfill.image_hash_mask, p_radius integer, p_most integer,
    out asked bigint[], out near bigint[])
language plpgsql stable as $$
begin
    select array_agg(o.h), array_agg(s.hash) into asked, near
      from unnest(p_hashes) as o (h)
     cross join lateral (
           (select i.hash from backfill.image_hash i
             where backfill.image_hash_band_a(i.hash) = any (array(
                   select backfill.image_hash_band_a(o.h) # m.mask from unnest(p_masks.a) as m (mask)))
               and i.generation = p_generation and bit_count((i.hash # o.h)::bit(64)) <= p_radius limit p_most + 1)
           union all
           (select i.hash from backfill.image_hash i
             where backfill.image_hash_band_b(i.hash) = any (array(
                   select backfill.image_hash_band_b(o.h) # m.mask from unnest(p_masks.b) as m (mask)))
               and i.generation = p_generation and bit_count((i.hash # o.h)::bit(64)) <= p_radius limit p_most + 1)
           union all
           (select i.hash from backfill.image_hash i
             where backfill.image_hash_band_c(i.hash) = any (array(
                   select backfill.image_hash_band_c(o.h) # m.mask from unnest(p_masks.c) as m (mask)))
               and i.generation = p_generation and bit_count((i.hash # o.h)::bit(64)) <= p_radius limit p_most + 1)
           union all
           (select i.hash from backfill.image_hash i
             where backfill.image_hash_band_d(i.hash) = any (array(
                   select backfill.image_hash_band_d(o.h) # m.mask from unnest(p_masks.d) as m (mask)))
               and i.generation = p_generation and bit_count((i.hash # o.h)::bit(64)) <= p_radius limit p_most + 1)
           ) s;
end $$;
comment on function backfill.image_hash_probe(integer, bigint[], backfill.image_hash_mask, integer, integer) is
    'For image_hash_search(), under whose settings its plan is made: looks up each hash in each band, p_most + 1 finds at most a band. Pairs of a hash asked for and one found, some of them more than once.';

create function backfill.image_hash_search(p_generation integer, p_hashes bigint[], p_radius integer default 10, p_most integer default 1000)
returns table (asked bigint, hash bigint, distance integer, large_cluster boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- The plan is fixed: whatever the statistics say, anything but walking the indexes reads more.
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off set enable_memoize = off set enable_material = off as $$
declare
    -- within how many bits a large cluster is searched for what is nearest: one value a band
    c_nearest constant integer := 3;
    v_large bigint[];
    v_asked bigint[];
    v_found bigint[];
    v_masks backfill.image_hash_mask;
    v_more record;
begin
    if p_radius is null or p_radius not between 0 and 14 then
        raise exception 'a radius of % bits can''t be searched', p_radius using errcode = '22023', hint = 'use 0 to 14';
    end if;
    if p_most is null or p_most < 1 then
        raise exception 'a search can''t be for at most % hashes', p_most using errcode = '22023', hint = 'use 1 or more';
    end if;
    select * into strict v_masks from backfill.image_hash_mask m where m.radius = p_radius;
    v_more := backfill.image_hash_probe(
        p_generation, array(select distinct u.h from unnest(p_hashes) as u (h) where u.h is not null), v_masks, p_radius, p_most);
    if v_more.asked is null then
        return;
    end if;
    v_asked := v_more.asked;
    v_found := v_more.near;
    if cardinality(v_asked) > p_most then
        select array_agg(f.asked) into v_large from (
               select n.asked from unnest(v_asked, v_found) as n (asked, hash) group by n.asked having count(distinct n.hash) > p_most) f;
    end if;
    if v_large is not null then
        -- What is nearest may have been cut: the hash itself, and what is within a few bits.
        select v_asked || array_agg(l.h), v_found || array_agg(l.h) into v_asked, v_found
          from unnest(v_large) as l (h)
         where exists (select from backfill.image_hash i
                        where backfill.image_hash_band_b(i.hash) = backfill.image_hash_band_b(l.h)
                          and i.generation = p_generation and i.hash = l.h);
        if p_radius > c_nearest then
            select * into strict v_masks from backfill.image_hash_mask m where m.radius = c_nearest;
            v_more := backfill.image_hash_probe(p_generation, v_large, v_masks, c_nearest, p_most);
            v_asked := v_asked || v_more.asked;
            v_found := v_found || v_more.near;
        end if;
    end if;
    return query
        select r.asked, r.hash, r.distance, r.many > p_most
          from (select f.asked, f.hash, f.distance, count(*) over w as many, row_number() over (w order by f.distance, f.hash) as place
                  from (select distinct u.asked, u.hash, bit_count((u.asked # u.hash)::bit(64))::integer as distance
                          from unnest(v_asked, v_found) as u (asked, hash)) f
                window w as (partition by f.asked)) r
         where r.place <= p_most;
end $$;
comment on function backfill.image_hash_search(integer, bigint[], integer, integer) is
    'For each hash asked for, the generation''s hashes within p_radius bits (0..14), itself too where it is there. All of them, unless large_cluster is true: then p_most of them, and first those within 3 bits.';

create function backfill.image_hash_candidates(p_generation integer, p_asked text[], p_hashes bigint[], p_radius integer, p_most integer)
returns table (asked text, key text, distance integer, large_cluster boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_memoize = off as $$
declare
    v_kinds integer;
    v_rows integer;
begin
    if coalesce(p_most < 1, true) then
        raise exception 'at most % candidates can''t be looked for', p_most using errcode = '22023', hint = 'use 1 or more';
    end if;
    -- A picture may come up once for each of its hashes, so more rows are read than are asked for.
    select coalesce(max(k.number), 1) into v_kinds from (select count(*) as number from unnest(p_asked) as a (asked) group by a.asked) k;
    v_rows := v_kinds * p_most;
    return query
    with near as materialized (
        select n.asked, decode(n.asked, 'hex') as itself, array_agg(n.hash order by n.distance, n.hash) as hashes,
               array_agg(n.distance order by n.distance, n.hash) as distances, bool_or(n.large) as large
          from (select a.asked, s.hash, min(s.distance) as distance, bool_or(s.large_cluster) as large
                  from unnest(p_asked, p_hashes) as a (asked, hash)
                  -- with room for the picture's own hashes beside the candidates'
                  join backfill.image_hash_search(p_generation, p_hashes, p_radius, v_rows + v_kinds) s on s.asked = a.hash
                 group by a.asked, s.hash) n
         group by n.asked
    )
    select n.asked, encode(c.sha256, 'hex'), c.distance, n.large or c.large
      from near n
     cross join lateral (
           select m.sha256, min(m.distance) as distance, bool_or(m.large) or count(*) over () > p_most as large
             from (select r.sha256, r.distance, count(*) over () > v_rows as large
                     -- Not sorted, so that no more is read than the limit: the loop takes the hashes
                     -- as they come, the nearest first.
                     from (select o.sha256, h.distance
                             from unnest(n.hashes, n.distances) as h (hash, distance)
                            cross join lateral (
                                  select w.sha256 from backfill.image_hash_owner w
                                   where w.generation = p_generation and w.hash = h.hash and w.sha256 is distinct from n.itself
                                   order by w.sha256 limit p_most + 1) o
                            limit v_rows + 1) r) m
            group by m.sha256
            order by 2, 1 limit p_most) c
     order by n.asked, c.distance, c.sha256;
end $$;
comment on function backfill.image_hash_candidates(integer, text[], bigint[], integer, integer) is
    'What image_candidates() and image_candidates_batch() share: hash p_hashes[i] is one of picture p_asked[i].';

create function backfill.image_candidates_batch(p_generation integer, p_pictures jsonb, p_radius integer default 10, p_most integer default 100)
returns table (asked text, key text, distance integer, large_cluster boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_asked text[];
    v_hashes bigint[];
begin
    select array_agg(p.key), array_agg(h.hash) into v_asked, v_hashes
      from jsonb_to_recordset(p_pictures) as p (key text, hashes bigint[]) cross join lateral unnest(p.hashes) as h (hash);
    return query select * from backfill.image_hash_candidates(p_generation, v_asked, v_hashes, p_radius, p_most);
end $$;
comment on function backfill.image_candidates_batch(integer, jsonb, integer, integer) is
    'For each of these pictures, an array of objects with key (SHA-256, hex) and hashes (bigints or nulls), the other pictures with a hash within p_radius bits (0..14) of one of its own, the nearest first, then by key. All of them, unless large_cluster is true: then p_most at most, and first those within 3 bits.';

create function backfill.image_candidates(
    p_generation integer, p_hashes bigint[], p_radius integer default 10, p_most integer default 100, p_except text default null)
returns table (key text, distance integer, large_cluster boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query select c.key, c.distance, c.large_cluster
      from backfill.image_hash_candidates(
           p_generation, array_fill(p_except, array[coalesce(cardinality(p_hashes), 0)]), p_hashes, p_radius, p_most) c;
end $$;
comment on function backfill.image_candidates(integer, bigint[], integer, integer, text) is
    'The pictures, but for p_except, with a hash within p_radius bits (0..14) of one of these: the nearest first, then by key (SHA-256, hex). All of them, unless large_cluster is true: see image_candidates_batch().';

-- whoever applies results calls them with the owner's rights
revoke execute on function backfill.image_hash_add_batch(integer, jsonb), backfill.image_hash_prune() from public;
