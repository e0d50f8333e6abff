-- image_signals: candidates, pairs, and what follows from them for payments
--
-- A payment is handled in steps, each committed by itself (backfill.job.steps):
--
--   analyse    the picture is downloaded; its hashes, thumbnail and signals are stored
--   rank       only where it has many candidates, 4,000 at a time: the likeliest are kept
--   compare    it is compared with its candidates; pairs are stored, duplicates follow from them
--
-- Of two pictures the later one to be stored is in no step's past: its comparison begins after both
-- are committed and sees both. So no pair is missed, in whatever order and however many at once.
--
-- What follows from pairs is written under an advisory lock that all applies of this task take, one
-- after another: each sees what the others have committed.
--
-- Lock order: the turn, then image_picture, image_hash, image_hash_owner, image_subject, image_pair,
-- then the application's rows in order of their keys.

create function backfill.image_signals_turn()
returns void language sql set search_path = pg_catalog, pg_temp as $$
    -- spells "imgs"
    select pg_advisory_xact_lock(1768777587, 0)
$$;
comment on function backfill.image_signals_turn() is 'Waits until every transaction that called this before has ended; statements after it see what those committed.';

create function backfill.image_time(p_time timestamptz)
returns timestamptz language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when p_time >= '0001-01-02 UTC' and p_time < '9999-12-30 UTC' then p_time else 'infinity' end
$$;
comment on function backfill.image_time(timestamptz) is 'A payment''s time; infinity, later than all others, where there is none or none that can be.';

create function backfill.image_comparison(
    p_generation integer, p_sha256 bytea, p_radius integer default 10, p_direct integer default 100, p_page integer default 4000, p_shortlist integer default 100)
returns jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_picture backfill.image_picture;
    v_known bytea[];
    v_near bytea[];
    v_bits integer[];
    v_count integer := 0;
    v_crowded boolean := false;
    v_base jsonb;
begin
    select * into v_picture from backfill.image_picture p where p.generation = p_generation and p.sha256 = p_sha256;
    if not found or v_picture.compared_at is not null then
        return jsonb_build_object('step', 'settle');
    end if;
    v_base := jsonb_build_object('sha256', encode(p_sha256, 'hex'), 'width', v_picture.width, 'height', v_picture.height,
                                 'thumbnail', encode(v_picture.thumbnail, 'base64'));
    if v_picture.ranked then
        v_near := v_picture.shortlist;
    elsif cardinality(array_remove(v_picture.hashes, null)) > 0 then
        -- pairs that were found from the other side are known
        v_known := array(select l.there from backfill.image_link l where l.here = p_sha256 and l.generation = p_generation);
        with near as materialized (
            -- all of them: what is left out here can't be found by any later step
            select decode(n.key, 'hex') as sha256, n.distance, n.large_cluster
              from backfill.image_candidates(p_generation, v_picture.hashes, p_radius, 200000, encode(p_sha256, 'hex')) n
        ), page as (
            select n.sha256, n.distance from near n
             where n.sha256 <> all (v_known)
               and (v_picture.ranked_sha256 is null or (n.distance, n.sha256) > (v_picture.ranked_bits, v_picture.ranked_sha256))
             order by n.distance, n.sha256 limit p_page + 1
        )
        select (select array_agg(p.sha256 order by p.distance, p.sha256) from page p), (select array_agg(p.distance order by p.distance, p.sha256) from page p),
               (select count(*) from near), coalesce((select bool_or(n.large_cluster) from near n), false)
          into v_near, v_bits, v_count, v_crowded;
        if cardinality(v_near) > p_direct or v_picture.ranked_sha256 is not null then
            return v_base || jsonb_build_object(
                'step', 'rank', 'most', p_shortlist, 'last', coalesce(cardinality(v_near), 0) <= p_page,
                'candidate_count', v_count, 'crowded', v_crowded,
                'ranked_bits', coalesce(v_bits[least(cardinality(v_near), p_page)], v_picture.ranked_bits),
                'ranked_sha256', encode(coalesce(v_near[least(cardinality(v_near), p_page)], v_picture.ranked_sha256), 'hex'))
                || (select jsonb_build_object('pictures', jsonb_agg(encode(p.sha256, 'hex') order by n.place),
                                              'grids', encode(string_agg(p.coarse, '' order by n.place), 'base64'))
                      -- the best so far stand against the next
                      from unnest(v_picture.shortlist || v_near[:p_page]) with ordinality as n (sha256, place)
                      join backfill.image_picture p on p.generation = p_generation and p.sha256 = n.sha256);
        end if;
    end if;
    return v_base || jsonb_build_object(
        'step', 'compare', 'candidate_count', v_count, 'crowded', v_crowded,
        'candidates', coalesce(
            (select jsonb_agg(jsonb_build_object('sha256', encode(p.sha256, 'hex'), 'width', p.width, 'height', p.height,
                                                 'thumbnail', encode(p.thumbnail, 'base64'),
                                                 'bits', (select min(bit_count((a.hash # b.hash)::bit(64)))
                                                            from unnest(v_picture.hashes) as a (hash) cross join unnest(p.hashes) as b (hash))) order by n.place)
               from unnest(v_near) with ordinality as n (sha256, place)
               join backfill.image_picture p on p.generation = p_generation and p.sha256 = n.sha256), '[]'));
end $$;
comment on function backfill.image_comparison(integer, bytea, integer, integer, integer, integer) is
    'What a picture''s next step needs. Where more than p_direct others are within p_radius bits: grids of the next p_page of them and of the best so far, to be ranked. Else, and when all are ranked: the thumbnails of those to be compared. Nothing where it was compared.';

create view backfill.image_alike as
select s.key as payment, e.key as duplicate_of, e.label as first_label, s.seen_at as submitted_at, e.seen_at as first_submitted_at,
       s.sha256 as picture, l.there as first_picture, l.verdict, l.same_file, l.percentage, l.bits, l.found,
       m.mark as marked, m.marked_by, m.marked_at, m.reason as mark_reason, l.generation
  from backfill.image_subject s
 cross join lateral (
       select s.sha256 as there, 'copy'::text as verdict, true as same_file, 100.0::numeric(4, 1) as percentage, 0::smallint as bits, '{{}}'::jsonb as found, s.generation
       union all
       select l.there, l.verdict, false, l.percentage, l.bits, l.found, l.generation
         from backfill.image_link l where l.here = s.sha256 and l.generation <= s.generation
       union all
       -- of very many copies each is compared with the likeliest only: copies of one's copies count
       select b.there, 'copy', false, max(least(a.percentage, b.percentage)), null, null, a.generation
         from backfill.image_link a
         join backfill.image_link b on b.here = a.there and b.generation = a.generation and b.verdict = 'copy' and b.there <> s.sha256
        where a.here = s.sha256 and a.verdict = 'copy' and a.generation <= s.generation
          and not exists (select from backfill.image_link d where d.here = s.sha256 and d.there = b.there and d.generation = a.generation)
        group by b.there, a.generation) l
 cross join lateral (
       (select f.key, f.seen_at, {label}::text as label
          from backfill.image_subject f
          -- one that the application has deleted is nobody's first
          join {table} p on p.{key} = f.native_key
         where f.sha256 = l.there and (f.seen_at, f.native_key) < (s.seen_at, s.native_key)
           -- what a version before found stands until both were compared by this one
           and (l.same_file or l.generation = s.generation or f.generation <= l.generation)
           and not exists (select from backfill.image_marked k where k.here = s.key and k.there = f.key and k.mark = 'not_duplicate'
                              and k.here_sha256 = s.sha256 and k.there_sha256 = f.sha256)
         order by f.seen_at, f.native_key limit 1)
       union all
       select f.key, f.seen_at, {label}::text
         from backfill.image_marked k
         join backfill.image_subject f on f.key = k.there and f.sha256 = l.there and (f.seen_at, f.native_key) < (s.seen_at, s.native_key)
         join {table} p on p.{key} = f.native_key
        where k.here = s.key and k.mark = 'not_duplicate' and k.here_sha256 = s.sha256 and k.there_sha256 = f.sha256
          and (l.same_file or l.generation = s.generation or f.generation <= l.generation)) e
  left join backfill.image_marked m on m.here = s.key and m.there = e.key and m.here_sha256 = s.sha256 and m.there_sha256 = l.there;
comment on view backfill.image_alike is 'For each payment the earliest payments with the same file or a file that shows the same. By keys alone; duplicates has it in full.';
comment on column backfill.image_alike.payment is 'Key of the later payment.';
comment on column backfill.image_alike.duplicate_of is 'Key of the earliest payment with that picture.';
comment on column backfill.image_alike.first_label is 'What people call that payment.';
comment on column backfill.image_alike.submitted_at is 'When the later one was submitted.';
comment on column backfill.image_alike.first_submitted_at is 'When the earlier one was.';
comment on column backfill.image_alike.picture is 'SHA-256 of the later one''s file.';
comment on column backfill.image_alike.first_picture is 'SHA-256 of the earlier one''s file.';
comment on column backfill.image_alike.verdict is 'copy, or review: a person should look.';
comment on column backfill.image_alike.same_file is 'Whether the files are equal, byte for byte.';
comment on column backfill.image_alike.percentage is 'How much of what both show is the same.';
comment on column backfill.image_alike.bits is 'In how many of 64 bits their nearest hashes differ.';
comment on column backfill.image_alike.found is 'What the comparison found, with the earlier one as the first.';
comment on column backfill.image_alike.marked is 'What a person said: duplicate, not_duplicate, or null.';
comment on column backfill.image_alike.marked_by is 'Who said so.';
comment on column backfill.image_alike.marked_at is 'When.';
comment on column backfill.image_alike.mark_reason is 'Why.';
comment on column backfill.image_alike.generation is 'Version of the algorithm.';

create function backfill.image_finding(p_alike backfill.image_alike)
returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when p_alike.same_file then 'every byte is equal (SHA-256)'
                when p_alike.found is null then 'both are copies of another screenshot'
                else (select string_agg(f.said, '; ' order by f.place)
                        from jsonb_array_elements_text(p_alike.found -> 'sentences') with ordinality as f (said, place)) end
$$;
comment on function backfill.image_finding(backfill.image_alike) is 'What was found of a payment and an earlier one that is like it, in short.';

create function backfill.image_sentence(p_alike backfill.image_alike)
returns text language sql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
    select case when p_alike.marked = 'duplicate' then format('%s confirmed it as a duplicate on %s. ', p_alike.marked_by, p_alike.marked_at::date)
                when p_alike.marked = 'not_duplicate' then format('%s said on %s that it is no duplicate. ', p_alike.marked_by, p_alike.marked_at::date)
                else '' end
        || case when p_alike.same_file then 'The same file as the screenshot of payment '
                when p_alike.verdict = 'copy' then 'The same picture as the screenshot of payment '
                else 'For a person to compare with the screenshot of payment ' end
        || coalesce(p_alike.first_label || ' (' || p_alike.duplicate_of || ')', p_alike.duplicate_of)
        || case when isfinite(p_alike.first_submitted_at) then to_char(p_alike.first_submitted_at, '" of "YYYY-MM-DD HH24:MI" UTC"') else '' end
        || case when p_alike.same_file or p_alike.found is null then ': ' || backfill.image_finding(p_alike) || '.'
                else format('. 1. The files differ (SHA-256). 2. A perceptual hash differs in %s of 64 bits, which made it a candidate. 3. Laid on one another, the earlier one being the first: %s.',
                            p_alike.bits, backfill.image_finding(p_alike)) end
$$;
comment on function backfill.image_sentence(backfill.image_alike) is 'How a payment''s likeness to an earlier one was found, step by step, for a person to read.';

create function backfill.image_signals_settle(p_keys text[])
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- nobody deletes a payment while others are being pointed to it
    perform from {table} p
      where p.{key} in (select f.native_key from backfill.image_alike a join backfill.image_subject f on f.key = a.duplicate_of where a.payment = any (p_keys))
      order by p.{key} for key share;
    with judged as materialized (
        select k.key, a as alike, a.payment is not null as any_alike,
               coalesce(a.marked = 'duplicate' or (a.verdict = 'copy' and a.marked is null), false) as duplicate,
               a.payment is null or coalesce(a.marked = 'not_duplicate', false) as cleared,
               f.native_key as first
          from unnest(p_keys) as k (key)
          left join backfill.image_alike a on a.payment = k.key
          left join backfill.image_subject f on f.key = a.duplicate_of
    ), best as materialized (
        -- the earliest duplicate; else what a person should look at; else what was marked as none
        select distinct on (j.key) j.* from judged j
         order by j.key, j.duplicate desc, j.cleared, (j.alike).first_submitted_at, j.first
    ), settled as (
        update backfill.image_subject s
           set similar_to = case when not b.cleared then (b.alike).duplicate_of end, duplicate = b.duplicate, alike = b.any_alike
          from best b
         where s.key = b.key
        returning s.native_key, s.sha256, s.generation, b.alike, b.any_alike, b.duplicate, b.cleared, b.first
    )
    update {signals} g
       set duplicate_detected = x.duplicate,
           similar_to_payment_id = case when not x.cleared then x.first end,
           similarity_percentage = case when not x.cleared then (x.alike).percentage end,
           similarity_explanation = case when x.any_alike then backfill.image_sentence(x.alike)
               else 'No earlier payment has this file (SHA-256). '
                    || case when cardinality(array_remove(p.hashes, null)) = 0 then 'There is too little to see in it to compare it with others.'
                            when coalesce(p.candidates, 0) = 0 then 'No other screenshot has a perceptual hash near its own.'
                            else format('%s with a perceptual hash near its own; of these, the likeliest were compared pixel by pixel, and no earlier one shows the same.',
                                        case p.candidates when 1 then 'There is 1 other' else 'There are ' || p.candidates || ' others' end) end
                    || case when p.crowded then ' There are more of them than can be ranked, so a copy may have been missed.' else '' end end
      from settled x
      join backfill.image_picture p on p.generation = x.generation and p.sha256 = x.sha256
     where g.payment_submission_id = x.native_key;
end $$;
comment on function backfill.image_signals_settle(text[]) is
    'Writes what follows from pairs, equal files and marks for these payments: whether each is a duplicate, of which earlier payment, and why. To be called in one''s turn.';

create function backfill.image_signals_affected(p_keys text[])
returns text[] language sql stable set search_path = pg_catalog, pg_temp as $$
    select array_agg(distinct k.key)
      from (select unnest(p_keys)
            union all
            -- later payments with a like picture that are no duplicates of an earlier one yet
            select q.key
              from backfill.image_subject s
             cross join lateral (
                   select s.sha256
                   union select a.there from backfill.image_link a where a.here = s.sha256
                   union select b.there from backfill.image_link a join backfill.image_link b on b.here = a.there where a.here = s.sha256) l
              join backfill.image_subject q on q.sha256 = l.sha256 and (q.seen_at, q.native_key) > (s.seen_at, s.native_key)
              left join (backfill.image_subject e join {table} p on p.{key} = e.native_key) on e.key = q.similar_to
             where s.key = any (p_keys) and (e.key is null or not q.duplicate or (s.seen_at, s.native_key) < (e.seen_at, e.native_key))
            union all
            select q.key from backfill.image_subject q where q.similar_to = any (p_keys)) k (key)
$$;
comment on function backfill.image_signals_affected(text[]) is 'These payments and those whose duplicates may be others because of them.';

create function backfill.image_signals_recount(p_hashes text[], p_algorithms text[])
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update {hashes} h
       set upload_count = c.many, first_payment_id = f.native_key, first_uploaded_at = nullif(f.seen_at, 'infinity'), last_updated_at = clock_timestamp()
      from (select distinct u.hash, u.algorithm from unnest(p_hashes, p_algorithms) as u (hash, algorithm)) g
     cross join lateral (select count(*) as many from backfill.image_subject s where (s.hash, s.algorithm) = (g.hash, g.algorithm)) c
      left join lateral (select s.native_key, s.seen_at from backfill.image_subject s where (s.hash, s.algorithm) = (g.hash, g.algorithm)
                          order by s.seen_at, s.native_key limit 1) f on true
     where (h.hash, h.algorithm) = (g.hash, g.algorithm);
    delete from {hashes} h using unnest(p_hashes, p_algorithms) as g (hash, algorithm)
     where (h.hash, h.algorithm) = (g.hash, g.algorithm) and h.upload_count = 0;
$$;
comment on function backfill.image_signals_recount(text[], text[]) is 'Counts these hashes of the application''s hash index anew. To be called in one''s turn.';

create function backfill.mark_duplicate(p_payment text, p_other text, p_is_duplicate boolean, p_reason text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_one backfill.image_subject;
    v_other backfill.image_subject;
begin
    perform backfill.image_signals_turn();
    select * into v_one from backfill.image_subject s where s.key = least(p_payment collate "C", p_other collate "C");
    select * into v_other from backfill.image_subject s where s.key = greatest(p_payment collate "C", p_other collate "C");
    if v_one.key is null or v_other.key is null or p_payment = p_other or p_is_duplicate is null then
        raise exception using errcode = 'BF004',
            message = case when p_payment = p_other then format('payment %s can''t be marked as its own duplicate', p_payment)
                           when p_is_duplicate is null then 'a mark says whether two payments are duplicates, and null says nothing'
                           else format('payment %s has no analysed screenshot',
                                       case when exists (select from backfill.image_subject s where s.key = p_payment) then p_other else p_payment end) end,
            hint = 'select payment, duplicate_of from backfill.duplicates; says which there are';
    end if;
    if p_is_duplicate and not exists (select from backfill.image_alike a where (a.payment, a.duplicate_of) in ((p_payment, p_other), (p_other, p_payment))) then
        raise exception 'nothing was found that makes payments % and % alike, so there is nothing to confirm', p_payment, p_other
            using errcode = 'BF004', hint = 'select payment, duplicate_of from backfill.duplicates; says which there are';
    end if;
    insert into backfill.image_mark as m (one, other, one_sha256, other_sha256, mark, reason)
    values (v_one.key, v_other.key, v_one.sha256, v_other.sha256, case when p_is_duplicate then 'duplicate' else 'not_duplicate' end, p_reason)
    on conflict (one, other) do update
       set one_sha256 = excluded.one_sha256, other_sha256 = excluded.other_sha256, mark = excluded.mark, reason = excluded.reason,
           marked_by = session_user, marked_at = clock_timestamp();
    perform backfill.image_signals_settle(array[v_one.key, v_other.key]);
    perform backfill.log_event('mark', 'image_signals', null,
        jsonb_build_object('payment', p_payment, 'other', p_other, 'duplicate', p_is_duplicate, 'reason', p_reason));
end $$;
comment on function backfill.mark_duplicate(text, text, boolean, text) is
    'A person says whether two payments are duplicates. Kept, and respected by later runs for as long as both have the files that the person saw.';

create function backfill.unmark_duplicate(p_payment text, p_other text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform backfill.image_signals_turn();
    delete from backfill.image_mark m where m.one = least(p_payment collate "C", p_other collate "C") and m.other = greatest(p_payment collate "C", p_other collate "C");
    if not found then
        return false;
    end if;
    perform backfill.image_signals_settle(array[p_payment, p_other]);
    perform backfill.log_event('unmark', 'image_signals', null, jsonb_build_object('payment', p_payment, 'other', p_other));
    return true;
end $$;
comment on function backfill.unmark_duplicate(text, text) is 'Takes a person''s mark back. False: there was none.';

create function backfill.image_signals_prune(out payments bigint, out pictures bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_hashes text[];
    v_algorithms text[];
    v_left text[];
begin
    perform backfill.image_signals_turn();
    with gone as (
        delete from backfill.image_subject s where not exists (select from {table} p where p.{key} = s.native_key)
        returning s.key, s.hash, s.algorithm
    )
    select count(*), array_agg(g.hash), array_agg(g.algorithm),
           (select array_agg(s.key) from backfill.image_subject s where s.similar_to in (select n.key from gone n))
      into payments, v_hashes, v_algorithms, v_left from gone g;
    delete from backfill.image_picture p
     where not exists (select from backfill.image_subject s where s.sha256 = p.sha256)
        -- while any payment is still to be done again, what the version before found stands
        or p.generation < (select min(s.generation) from backfill.image_subject s);
    get diagnostics pictures = row_count;
    delete from backfill.image_pair a
     where not exists (select from backfill.image_picture p where p.generation = a.generation and p.sha256 = a.one)
        or not exists (select from backfill.image_picture p where p.generation = a.generation and p.sha256 = a.other);
    delete from backfill.image_hash_owner o
     where not exists (select from backfill.image_picture p where p.generation = o.generation and p.sha256 = o.sha256);
    perform backfill.image_hash_prune();
    perform backfill.image_signals_recount(v_hashes, v_algorithms);
    perform backfill.image_signals_settle(v_left);
end $$;
comment on function backfill.image_signals_prune() is
    'Forgets payments that the application has deleted, and pictures, pairs and hashes that nobody has any more. Reads the tables to the end; marks stay.';

-- a process comes here through finish(), which runs with its owner's rights; marks are for operators
revoke execute on function backfill.image_signals_settle(text[]), backfill.image_signals_recount(text[], text[]), backfill.image_signals_turn(),
    backfill.mark_duplicate(text, text, boolean, text), backfill.unmark_duplicate(text, text), backfill.image_signals_prune() from public;
do $$
begin
    if to_regrole('backfill_operator') is not null then
        grant execute on function backfill.mark_duplicate(text, text, boolean, text), backfill.unmark_duplicate(text, text), backfill.image_signals_prune() to backfill_operator;
    end if;
end $$;
