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
-- thousands of pictures share is one row to a search. In the middle of a large cluster a search
-- stops after the nearest values of the bands and says so (large_cluster).
--
-- Searches read indexes only, which the visibility map has to allow: both tables are vacuumed after
-- a number of inserts, not after a share of their size.
--
-- Lock order: image_hash in order of the hash, then image_hash_owner in order of (key, hash). Adds
-- at the same time don't deadlock, as long as each transaction adds once, and other pictures: the
-- same picture is in one transaction at a time, as its job's lock has it.
--
-- Two transactions that add and then search at the same moment don't see each other's pictures. To
-- miss no pair, either search in a transaction that begins when the add has committed, or call
-- image_hash_turn() before the add, in a statement of its own.

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
    kind       smallint not null,
    seen_at    timestamptz not null,
    key        text not null,
    constraint image_hash_owner_pkey primary key (key, generation, hash)
);
create index image_hash_owner_by_hash on backfill.image_hash_owner (generation, hash, seen_at, key);
alter table backfill.image_hash_owner set (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000);
comment on table backfill.image_hash_owner is 'Which pictures have a hash; a picture may have several. Each of the hashes is in image_hash.';
comment on column backfill.image_hash_owner.generation is 'Generation of the hash.';
comment on column backfill.image_hash_owner.hash is 'The hash.';
comment on column backfill.image_hash_owner.kind is 'Which of the picture''s hashes it is, from 0; the first of several that are equal.';
comment on column backfill.image_hash_owner.seen_at is 'When the application got the picture; of several times told, the earliest.';
comment on column backfill.image_hash_owner.key is 'The picture''s key.';
comment on index backfill.image_hash_owner_by_hash is 'Pictures that have a hash, the earliest first.';

create table backfill.image_hash_mask (
    radius smallint constraint image_hash_mask_pkey primary key,
    near_a integer[] not null,
    near_b integer[] not null,
    near_c integer[] not null,
    near_d integer[] not null,
    far_a  integer[] not null,
    far_b  integer[] not null,
    far_c  integer[] not null,
    far_d  integer[] not null,
    constraint image_hash_mask_radius_in_range check (radius between 0 and 14)
);
comment on table backfill.image_hash_mask is 'For each radius, which bits to flip in a hash''s bands to get the values to look up. Fixed; searches read it.';
comment on column backfill.image_hash_mask.radius is 'The radius, bits.';
comment on column backfill.image_hash_mask.near_a is 'Masks of band A that flip one bit at most.';
comment on column backfill.image_hash_mask.near_b is 'Masks of band B that flip one bit at most.';
comment on column backfill.image_hash_mask.near_c is 'Masks of band C that flip one bit at most.';
comment on column backfill.image_hash_mask.near_d is 'Masks of band D that flip one bit at most.';
comment on column backfill.image_hash_mask.far_a is 'Masks of band A that flip more.';
comment on column backfill.image_hash_mask.far_b is 'Masks of band B that flip more.';
comment on column backfill.image_hash_mask.far_c is 'Masks of band C that flip more.';
comment on column backfill.image_hash_mask.far_d is 'Masks of band D that flip more.';

insert into backfill.image_hash_mask
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
), masks (radius, band, near, far) as (
    select s.radius, s.band,
           coalesce(array_agg(g.mask order by g.mask) filter (where g.flips <= least(s.flips, 1)), array[]::integer[]),
           coalesce(array_agg(g.mask order by g.mask) filter (where g.flips between 2 and s.flips), array[]::integer[])
      from share s join grown g using (band) group by s.radius, s.band
)
select a.radius, a.near, b.near, c.near, d.near, a.far, b.far, c.far, d.far
  from masks a join masks b using (radius) join masks c using (radius) join masks d using (radius)
 where a.band = 'a' and b.band = 'b' and c.band = 'c' and d.band = 'd';

create function backfill.image_hash_add_batch(p_generation integer, p_pictures jsonb)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_asked text[];
    v_key text[];
    v_hash bigint[];
    v_kind smallint[];
    v_seen timestamptz[];
    v_new bigint;
begin
    select array_agg(distinct p.key) into v_asked from jsonb_to_recordset(p_pictures) as p (key text);
    select array_agg(w.key), array_agg(w.hash), array_agg(w.kind), array_agg(w.seen_at)
      into v_key, v_hash, v_kind, v_seen
      from (select p.key, h.hash, min(h.place) - 1 as kind, min(coalesce(p.seen_at, now())) as seen_at
              from jsonb_to_recordset(p_pictures) as p (key text, hashes bigint[], seen_at timestamptz)
             cross join lateral unnest(p.hashes) with ordinality as h (hash, place)
             where h.hash is not null
             group by p.key, h.hash) w;

    insert into backfill.image_hash (generation, hash)
    select p_generation, h.hash from unnest(v_hash) as h (hash) group by h.hash order by h.hash
    on conflict do nothing;
    get diagnostics v_new = row_count;

    -- what was there under the same key when the picture was another one
    delete from backfill.image_hash_owner
     where ctid = any (array(
           select o.ctid from backfill.image_hash_owner o
            where o.generation = p_generation and o.key = any (v_asked)
              and not exists (select from unnest(v_key, v_hash) as w (key, hash) where w.key = o.key and w.hash = o.hash)
            order by o.key, o.hash for update));

    insert into backfill.image_hash_owner as o (generation, hash, kind, seen_at, key)
    select p_generation, w.hash, w.kind, w.seen_at, w.key
      from unnest(v_key, v_hash, v_kind, v_seen) as w (key, hash, kind, seen_at) order by w.key, w.hash
    on conflict (key, generation, hash) do update
       set kind = excluded.kind, seen_at = least(o.seen_at, excluded.seen_at)
     where o.kind <> excluded.kind or o.seen_at > excluded.seen_at;
    return v_new;
end $$;
comment on function backfill.image_hash_add_batch(integer, jsonb) is
    'Makes these the hashes of these pictures: an array of objects with key (text), hashes (bigints or nulls) and seen_at (now if missing). May be repeated. Returns how many of the hashes were new.';

create function backfill.image_hash_add(p_generation integer, p_key text, p_hashes bigint[], p_seen_at timestamptz default null)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return backfill.image_hash_add_batch(p_generation, jsonb_build_array(
        jsonb_build_object('key', p_key, 'hashes', to_jsonb(p_hashes), 'seen_at', p_seen_at)));
end $$;
comment on function backfill.image_hash_add(integer, text, bigint[], timestamptz) is
    'Makes these the hashes of one picture; nulls among them are passed over. May be repeated. Returns how many of them were new.';

create function backfill.image_hash_remove(p_key text)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_count bigint;
begin
    -- The hashes stay, since somebody may be about to get one of them; image_hash_prune() takes them.
    delete from backfill.image_hash_owner
     where ctid = any (array(
           select o.ctid from backfill.image_hash_owner o where o.key = p_key order by o.generation, o.hash for update));
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function backfill.image_hash_remove(text) is 'Forgets a picture, in every generation. Returns how many hashes it had.';

create function backfill.image_hash_prune(p_oldest integer default null, out owners bigint, out hashes bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- shuts out adds, so that no hash goes that a picture is about to get; searches go on
    lock table backfill.image_hash in share row exclusive mode;
    delete from backfill.image_hash_owner o where o.generation < p_oldest;
    get diagnostics owners = row_count;
    delete from backfill.image_hash i
     where not exists (select from backfill.image_hash_owner o where o.generation = i.generation and o.hash = i.hash);
    get diagnostics hashes = row_count;
end $$;
comment on function backfill.image_hash_prune(integer) is
    'Forgets the generations before p_oldest, and hashes that no picture has any more. Reads both tables to the end, and adds wait meanwhile.';

create function backfill.image_hash_turn(p_generation integer)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    -- the first half spells "imgh"
    select pg_advisory_xact_lock(1768777576, p_generation)
$$;
comment on function backfill.image_hash_turn(integer) is
    'Waits until every transaction that called this for the generation before has ended. What is added and searched in the statements after it misses no pair.';

create function backfill.image_hash_search(p_generation integer, p_hashes bigint[], p_radius integer default 10, p_most integer default 1000)
returns table (asked bigint, hash bigint, distance integer, large_cluster boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- The plan is fixed: whatever the statistics say, anything but walking the indexes reads more.
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off set enable_memoize = off set enable_material = off as $$
declare
    v_open bigint[];
    v_asked bigint[] := array[]::bigint[];
    v_found bigint[] := array[]::bigint[];
    v_more_asked bigint[];
    v_more_found bigint[];
    v_a integer[];
    v_b integer[];
    v_c integer[];
    v_d integer[];
    v_far_a integer[];
    v_far_b integer[];
    v_far_c integer[];
    v_far_d integer[];
    v_narrow boolean := false;
    v_parities_b integer[] := array[0, 1];
    v_parities_c integer[] := array[0, 1, 2, 3];
begin
    if p_radius is null or p_radius not between 0 and 14 then
        raise exception 'a radius of % bits can''t be searched', p_radius using errcode = '22023', hint = 'use 0 to 14';
    end if;
    if p_most is null or p_most < 1 then
        raise exception 'a search can''t be for at most % hashes', p_most using errcode = '22023', hint = 'use 1 or more';
    end if;
    select array_agg(distinct u.h) into v_open from unnest(p_hashes) as u (h) where u.h is not null;
    select m.near_a, m.near_b, m.near_c, m.near_d, m.far_a, m.far_b, m.far_c, m.far_d
      into strict v_a, v_b, v_c, v_d, v_far_a, v_far_b, v_far_c, v_far_d
      from backfill.image_hash_mask m where m.radius = p_radius;
    -- A hash in a large cluster has more than enough after the near values and goes no further.
    for v_round in 1 .. case when p_radius < 8 then 1 else 2 end loop
        exit when v_open is null;
        if cardinality(v_open) <= 8 then
            select array_agg(o.h), array_agg(s.hash) into v_more_asked, v_more_found
              from unnest(v_open) as o (h)
             cross join lateral (
                   -- the hash itself, which no limit may cut
                   select i.hash from backfill.image_hash i
                    where backfill.image_hash_band_b(i.hash) = backfill.image_hash_band_b(o.h) and i.generation = p_generation
                      and i.hash = o.h and v_round = 1
                   union all
                   (select i.hash from backfill.image_hash i
                     where backfill.image_hash_band_a(i.hash) = any (array(
                           select backfill.image_hash_band_a(o.h) # m.mask from unnest(v_a) as m (mask)))
                       and i.generation = p_generation and bit_count((i.hash # o.h)::bit(64)) <= p_radius limit p_most + 1)
                   union all
                   (select i.hash from backfill.image_hash i
                     where backfill.image_hash_band_b(i.hash) = any (array(
                           select backfill.image_hash_band_b(o.h) # (m.mask * 2 + p.parity)
                             from unnest(v_b) as m (mask) cross join unnest(v_parities_b) as p (parity)))
                       and i.generation = p_generation and bit_count((i.hash # o.h)::bit(64)) <= p_radius limit p_most + 1)
                   union all
                   (select i.hash from backfill.image_hash i
                     where backfill.image_hash_band_c(i.hash) = any (array(
                           select backfill.image_hash_band_c(o.h) # (m.mask * 4 + p.parity)
                             from unnest(v_c) as m (mask) cross join unnest(v_parities_c) as p (parity)))
                       and i.generation = p_generation and bit_count((i.hash # o.h)::bit(64)) <= p_radius limit p_most + 1)
                   union all
                   (select i.hash from backfill.image_hash i
                     where backfill.image_hash_band_d(i.hash) = any (array(
                           select backfill.image_hash_band_d(o.h) # m.mask from unnest(v_d) as m (mask)))
                       and i.generation = p_generation and bit_count((i.hash # o.h)::bit(64)) <= p_radius limit p_most + 1)
                   ) s;
        else
            -- Many are looked up in order of the values, so that a page is read once for those that are on it.
            select array_agg(f.asked), array_agg(f.hash) into v_more_asked, v_more_found from (
                    -- the hash itself, which no limit may cut
                    select o.h as asked, s.hash
                      from unnest(v_open) as o (h)
                     cross join lateral (
                           select i.hash from backfill.image_hash i
                            where backfill.image_hash_band_b(i.hash) = backfill.image_hash_band_b(o.h) and i.generation = p_generation
                              and i.hash = o.h and v_round = 1 offset 0) s
                    union all
                    select k.asked, s.hash
                      from (select o.h as asked, backfill.image_hash_band_a(o.h) # m.mask as value
                              from unnest(v_open) as o (h) cross join unnest(v_a) as m (mask) order by 2) k
                     cross join lateral (
                           select i.hash from backfill.image_hash i
                            where backfill.image_hash_band_a(i.hash) = k.value and i.generation = p_generation
                              and bit_count((i.hash # k.asked)::bit(64)) <= p_radius limit p_most + 1) s
                    union all
                    select k.asked, s.hash
                      from (select x.asked, case when v_narrow then x.value # 1 else x.value & -2 end as low,
                                   case when v_narrow then x.value # 1 else x.value | 1 end as high
                              from (select o.h as asked, backfill.image_hash_band_b(o.h) # (m.mask * 2) as value
                                      from unnest(v_open) as o (h) cross join unnest(v_b) as m (mask)) x order by 2) k
                     cross join lateral (
                           select i.hash from backfill.image_hash i
                            where backfill.image_hash_band_b(i.hash) between k.low and k.high and i.generation = p_generation
                              and bit_count((i.hash # k.asked)::bit(64)) <= p_radius limit p_most + 1) s
                    union all
                    select k.asked, s.hash
                      from (select x.asked, case when v_narrow then x.value else x.value & -4 end as low,
                                   case when v_narrow then x.value else x.value | 3 end as high
                              from (select o.h as asked, backfill.image_hash_band_c(o.h) # (m.mask * 4) as value
                                      from unnest(v_open) as o (h) cross join unnest(v_c) as m (mask)) x order by 2) k
                     cross join lateral (
                           select i.hash from backfill.image_hash i
                            where backfill.image_hash_band_c(i.hash) between k.low and k.high and i.generation = p_generation
                              and bit_count((i.hash # k.asked)::bit(64)) <= p_radius limit p_most + 1) s
                    union all
                    select k.asked, s.hash
                      from (select o.h as asked, backfill.image_hash_band_d(o.h) # m.mask as value
                              from unnest(v_open) as o (h) cross join unnest(v_d) as m (mask) order by 2) k
                     cross join lateral (
                           select i.hash from backfill.image_hash i
                            where backfill.image_hash_band_d(i.hash) = k.value and i.generation = p_generation
                              and bit_count((i.hash # k.asked)::bit(64)) <= p_radius limit p_most + 1) s
                   ) f;
        end if;
        if v_more_asked is not null then
            v_asked := v_asked || v_more_asked;
            v_found := v_found || v_more_found;
            if v_round = 1 and cardinality(v_asked) > p_most then
                select array_agg(o.h) into v_open from unnest(v_open) as o (h)
                 where not o.h = any (array(
                       select f.asked from unnest(v_asked, v_found) as f (asked, hash) group by f.asked having count(distinct f.hash) > p_most));
            end if;
        end if;
        v_a := v_far_a;
        v_b := v_far_b;
        v_c := v_far_c;
        v_d := v_far_d;
        if p_radius <= 10 then
            v_narrow := true;
            v_parities_b := array[1];
            v_parities_c := array[0];
        end if;
    end loop;
    return query
        select r.asked, r.hash, r.distance, r.many > p_most
          from (select f.asked, f.hash, f.distance, count(*) over w as many, row_number() over (w order by f.distance, f.hash) as place
                  from (select distinct u.asked, u.hash, bit_count((u.asked # u.hash)::bit(64))::integer as distance
                          from unnest(v_asked, v_found) as u (asked, hash)) f
                window w as (partition by f.asked)) r
         where r.place <= p_most;
end $$;
comment on function backfill.image_hash_search(integer, bigint[], integer, integer) is
    'For each hash asked for, the generation''s hashes within p_radius bits (0..14), itself too where it is there. All of them, unless large_cluster is true: then p_most of them, itself among them.';

create function backfill.image_hash_candidates(
    p_generation integer, p_asked text[], p_hashes bigint[], p_radius integer, p_most integer, p_per_hash integer)
returns table (asked text, key text, distance integer, seen_at timestamptz, large_cluster boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan set jit = off
set enable_seqscan = off set enable_bitmapscan = off set enable_memoize = off as $$
declare
    v_kinds integer;
    v_rows integer;
    v_per_hash integer := least(p_per_hash, p_most);
begin
    if coalesce(least(p_most, p_per_hash) < 1, true) then
        raise exception 'at most % candidates, % of each hash, can''t be looked for', p_most, p_per_hash using errcode = '22023', hint = 'use 1 or more';
    end if;
    -- A picture may come up once for each of its hashes, so more rows are read than are asked for.
    select coalesce(max(k.number), 1) into v_kinds from (select count(*) as number from unnest(p_asked) as a (asked) group by a.asked) k;
    v_rows := v_kinds * p_most;
    return query
    with near as materialized (
        select n.asked, array_agg(n.hash order by n.distance, n.hash) as hashes,
               array_agg(n.distance order by n.distance, n.hash) as distances, bool_or(n.large) as large
          from (select a.asked, s.hash, min(s.distance) as distance, bool_or(s.large_cluster) as large
                  from unnest(p_asked, p_hashes) as a (asked, hash)
                  -- with room for the picture's own hashes beside the candidates'
                  join backfill.image_hash_search(p_generation, p_hashes, p_radius, v_rows + v_kinds) s on s.asked = a.hash
                 group by a.asked, s.hash) n
         group by n.asked
    )
    select n.asked, c.key, c.distance, c.seen_at, n.large or c.large
      from near n
     cross join lateral (
           select m.key, min(m.distance) as distance, min(m.seen_at) as seen_at, bool_or(m.large) or count(*) over () > p_most as large
             from (select r.*, bool_or(r.place > v_per_hash) over () or count(*) over () > v_rows as large
                     from (select o.key, h.distance, o.seen_at, o.place
                             from unnest(n.hashes, n.distances) with ordinality as h (hash, distance, place)
                            cross join lateral (
                                  select w.key, w.seen_at, row_number() over (order by w.seen_at, w.key) as place
                                    from backfill.image_hash_owner w
                                   where w.generation = p_generation and w.hash = h.hash and w.key is distinct from n.asked
                                   order by w.seen_at, w.key limit v_per_hash + 1) o
                            order by h.place, o.place limit v_rows + 1) r) m
            where m.place <= v_per_hash
            group by m.key
            order by 2, 3, 1 limit p_most) c
     order by n.asked, c.distance, c.seen_at, c.key;
end $$;
comment on function backfill.image_hash_candidates(integer, text[], bigint[], integer, integer, integer) is
    'What image_candidates() and image_candidates_batch() share: hash p_hashes[i] is one of picture p_asked[i].';

create function backfill.image_candidates_batch(
    p_generation integer, p_pictures jsonb, p_radius integer default 10, p_most integer default 100, p_per_hash integer default null)
returns table (asked text, key text, distance integer, seen_at timestamptz, large_cluster boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_asked text[];
    v_hashes bigint[];
begin
    select array_agg(p.key), array_agg(h.hash) into v_asked, v_hashes
      from jsonb_to_recordset(p_pictures) as p (key text, hashes bigint[]) cross join lateral unnest(p.hashes) as h (hash);
    return query select * from backfill.image_hash_candidates(p_generation, v_asked, v_hashes, p_radius, p_most, coalesce(p_per_hash, p_most));
end $$;
comment on function backfill.image_candidates_batch(integer, jsonb, integer, integer, integer) is
    'For each of these pictures, an array of objects with key (text) and hashes (bigints or nulls), the other pictures with a hash within p_radius bits (0..14) of one of its own: the nearest first, then the earliest. All of them, unless large_cluster is true: then p_most at most, those with the very hash first, and of each hash the earliest p_per_hash (as many as p_most if null).';

create function backfill.image_candidates(
    p_generation integer, p_hashes bigint[], p_radius integer default 10, p_most integer default 100,
    p_per_hash integer default null, p_except text default null)
returns table (key text, distance integer, seen_at timestamptz, large_cluster boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query select c.key, c.distance, c.seen_at, c.large_cluster
      from backfill.image_hash_candidates(
           p_generation, array_fill(p_except, array[coalesce(cardinality(p_hashes), 0)]), p_hashes, p_radius, p_most, coalesce(p_per_hash, p_most)) c;
end $$;
comment on function backfill.image_candidates(integer, bigint[], integer, integer, integer, text) is
    'The pictures, but for p_except, with a hash within p_radius bits (0..14) of one of these: the nearest first, then the earliest. All of them, unless large_cluster is true: see image_candidates_batch().';

-- whoever applies results calls them with the owner's rights
revoke execute on function backfill.image_hash_add_batch(integer, jsonb), backfill.image_hash_add(integer, text, bigint[], timestamptz),
    backfill.image_hash_remove(text), backfill.image_hash_prune(integer), backfill.image_hash_turn(integer) from public;
