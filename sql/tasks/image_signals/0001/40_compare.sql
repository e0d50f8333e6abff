-- image_signals: candidates, pairs, and what follows from them for payments
--
-- A payment is handled in steps, each committed by itself (backfill.job.steps):
--
--   analyse    the picture is downloaded; its hashes, thumbnail and signals are stored
--   rank       only where it has many candidates: they are put into order, the likeliest are kept
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

create function backfill.image_comparison(
    p_generation integer, p_sha256 bytea, p_radius integer default 10, p_most integer default 4000, p_shortlist integer default 24)
returns jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_picture backfill.image_picture;
    v_near bytea[];
    v_bits integer[];
    v_crowded boolean;
    v_known integer;
begin
    select * into v_picture from backfill.image_picture p where p.generation = p_generation and p.sha256 = p_sha256;
    if not found or v_picture.compared_at is not null then
        return jsonb_build_object('step', 'settle');
    end if;
    if cardinality(array_remove(v_picture.hashes, null)) > 0 then
        select array_agg(c.picture order by c.distance, c.picture) filter (where c.pair is null),
               array_agg(c.distance order by c.distance, c.picture) filter (where c.pair is null),
               count(c.pair), bool_or(c.large_cluster)
          into v_near, v_bits, v_known, v_crowded
          from (select decode(n.key, 'hex') as picture, n.distance, n.large_cluster, p.generation as pair
                  from backfill.image_candidates(p_generation, v_picture.hashes, p_radius, p_most, encode(p_sha256, 'hex')) n
                  -- found from the other side already
                  left join backfill.image_pair p
                    on p.generation = p_generation and p.one = least(p_sha256, decode(n.key, 'hex')) and p.other = greatest(p_sha256, decode(n.key, 'hex'))
               ) c;
    end if;
    return jsonb_build_object(
        'step', case when cardinality(v_near) > p_shortlist and v_picture.shortlist is null then 'rank' else 'compare' end,
        'sha256', encode(p_sha256, 'hex'), 'width', v_picture.width, 'height', v_picture.height,
        'thumbnail', encode(v_picture.thumbnail, 'base64'), 'shortlist', p_shortlist,
        'candidate_count', coalesce(cardinality(v_near), 0) + coalesce(v_known, 0), 'crowded', coalesce(v_crowded, false),
        'candidates', coalesce(case when cardinality(v_near) > p_shortlist and v_picture.shortlist is null then
            (select jsonb_agg(jsonb_build_object('sha256', encode(p.sha256, 'hex'), 'coarse', encode(p.coarse, 'base64')) order by n.place)
               from unnest(v_near) with ordinality as n (sha256, place)
               join backfill.image_picture p on p.generation = p_generation and p.sha256 = n.sha256)
        else
            (select jsonb_agg(jsonb_build_object('sha256', encode(p.sha256, 'hex'), 'bits', n.bits, 'width', p.width, 'height', p.height,
                                                 'thumbnail', encode(p.thumbnail, 'base64')) order by n.place)
               from unnest(v_near, v_bits) with ordinality as n (sha256, bits, place)
               join backfill.image_picture p on p.generation = p_generation and p.sha256 = n.sha256
              where v_picture.shortlist is null or n.sha256 = any (v_picture.shortlist))
        end, '[]'));
end $$;
comment on function backfill.image_comparison(integer, bytea, integer, integer, integer) is
    'What a picture''s next step needs: its candidates'' coarse grids where they are to be ranked (more than p_shortlist), or the thumbnails of those to be compared; nothing where it was compared. At most p_most candidates within p_radius bits.';

create view backfill.image_alike as
select s.key as payment, e.key as duplicate_of, e.label as first_label, s.seen_at as submitted_at, e.seen_at as first_submitted_at,
       s.sha256 as picture, l.sha256 as first_picture, l.verdict, l.same_file, l.percentage, l.bits, l.found,
       m.mark as marked, m.marked_by, m.marked_at, m.reason as mark_reason, s.generation
  from backfill.image_subject s
 cross join lateral (
       select s.sha256, 'copy'::text as verdict, true as same_file, 100.0::numeric(4, 1) as percentage, 0::smallint as bits, '{{}}'::jsonb as found
       union all
       select p.one, p.verdict, false, p.percentage, p.bits, p.found -> 'one_first' from backfill.image_pair p
        where p.generation = s.generation and p.other = s.sha256
       union all
       select p.other, p.verdict, false, p.percentage, p.bits, p.found -> 'other_first' from backfill.image_pair p
        where p.generation = s.generation and p.one = s.sha256) l
 cross join lateral (
       select f.key, f.seen_at, {label}::text as label from backfill.image_subject f
         -- one that the application has deleted is nobody's first
         join {table} p on p.{key} = f.key::{key_type}
        where f.sha256 = l.sha256 and (f.seen_at, f.key) < (s.seen_at, s.key)
        order by f.seen_at, f.key limit 1) e
  left join backfill.image_mark m
    on m.one = least(s.key collate "C", e.key collate "C") and m.other = greatest(s.key collate "C", e.key collate "C")
   and case when s.key collate "C" < e.key collate "C" then (m.one_sha256, m.other_sha256) = (s.sha256, l.sha256)
            else (m.one_sha256, m.other_sha256) = (l.sha256, s.sha256) end;
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
        || case when p_alike.same_file then ': every byte is equal (SHA-256).'
                else format('. 1. The files differ (SHA-256). 2. A perceptual hash differs in %s of 64 bits, which made it a candidate. 3. Laid on one another, the earlier one being the first: %s.',
                            p_alike.bits, (select string_agg(f.said, '; ' order by f.place)
                                             from jsonb_array_elements_text(p_alike.found -> 'sentences') with ordinality as f (said, place))) end
$$;
comment on function backfill.image_sentence(backfill.image_alike) is 'How a payment''s likeness to an earlier one was found, step by step, for a person to read.';

create function backfill.image_signals_settle(p_keys text[])
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    with best as materialized (
        select distinct on (k.key) k.key, a as alike, a.payment is not null as any_alike,
               coalesce(a.marked = 'duplicate' or (a.verdict = 'copy' and a.marked is null), false) as duplicate,
               a.payment is null or coalesce(a.marked = 'not_duplicate', false) as cleared
          from unnest(p_keys) as k (key)
          left join backfill.image_alike a on a.payment = k.key
         -- the earliest duplicate; else what a person should look at; else what was marked as none
         order by k.key, (coalesce(a.marked = 'duplicate' or (a.verdict = 'copy' and a.marked is null), false)) desc,
                  coalesce(a.marked = 'not_duplicate', false), a.first_submitted_at, a.duplicate_of
    ), settled as (
        update backfill.image_subject s
           set similar_to = case when not b.cleared then (b.alike).duplicate_of end, alike = b.any_alike
          from best b
         where s.key = b.key
           -- The earlier picture's turn in this generation is still to come: what the one before
           -- found stands until then.
           and not (not b.any_alike and s.similar_to is not null and exists (
                    select from backfill.image_subject e where e.key = s.similar_to and e.generation < s.generation))
        returning s.key, s.sha256, s.generation, b.alike, b.any_alike, b.duplicate, b.cleared
    )
    update {signals} g
       set duplicate_detected = x.duplicate,
           similar_to_payment_id = case when not x.cleared then (x.alike).duplicate_of end::{key_type},
           similarity_percentage = case when not x.cleared then (x.alike).percentage end,
           similarity_explanation = case when x.any_alike then backfill.image_sentence(x.alike)
               else 'No earlier payment has this file (SHA-256). '
                    || case when cardinality(array_remove(p.hashes, null)) = 0 then 'There is too little to see in it to compare it with others.'
                            when coalesce(p.candidates, 0) = 0 then 'No other screenshot has a perceptual hash near its own.'
                            else format('%s with a perceptual hash near its own; compared pixel by pixel, no earlier one shows the same.',
                                        case p.candidates when 1 then 'There is 1 other' else 'There are ' || p.candidates || ' others' end) end
                    || case when p.crowded then ' There are more of them than are looked at; the nearest were.' else '' end end
      from settled x
      join backfill.image_picture p on p.generation = x.generation and p.sha256 = x.sha256
     where g.payment_submission_id = x.key::{key_type};
end $$;
comment on function backfill.image_signals_settle(text[]) is
    'Writes what follows from pairs, equal files and marks for these payments: whether each is a duplicate, of which earlier payment, and why. To be called in one''s turn.';

create function backfill.image_signals_affected(p_keys text[])
returns text[] language sql stable set search_path = pg_catalog, pg_temp as $$
    select array_agg(distinct k.key)
      from (select unnest(p_keys)
            union all
            -- later payments with a like picture that don't point to an earlier one yet
            select q.key
              from backfill.image_subject s
             cross join lateral (
                   select s.sha256
                   union all select p.one from backfill.image_pair p where p.generation = s.generation and p.other = s.sha256
                   union all select p.other from backfill.image_pair p where p.generation = s.generation and p.one = s.sha256) l
              join backfill.image_subject q on q.sha256 = l.sha256 and (q.seen_at, q.key) > (s.seen_at, s.key)
              left join backfill.image_subject e on e.key = q.similar_to
             where s.key = any (p_keys) and (e.key is null or (s.seen_at, s.key) < (e.seen_at, e.key))
            union all
            select q.key from backfill.image_subject q where q.similar_to = any (p_keys)) k (key)
$$;
comment on function backfill.image_signals_affected(text[]) is 'These payments and those whose duplicates may be others because of them.';

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
begin
    perform backfill.image_signals_turn();
    delete from backfill.image_subject s where not exists (select from {table} p where p.{key} = s.key::{key_type});
    get diagnostics payments = row_count;
    delete from backfill.image_picture p
     where not exists (select from backfill.image_subject s where s.generation = p.generation and s.sha256 = p.sha256);
    get diagnostics pictures = row_count;
    delete from backfill.image_pair a
     where not exists (select from backfill.image_picture p where p.generation = a.generation and p.sha256 = a.one)
        or not exists (select from backfill.image_picture p where p.generation = a.generation and p.sha256 = a.other);
    delete from backfill.image_hash_owner o
     where not exists (select from backfill.image_picture p where p.generation = o.generation and p.sha256 = o.sha256);
    perform backfill.image_hash_prune();
end $$;
comment on function backfill.image_signals_prune() is
    'Forgets payments that the application has deleted, and pictures, pairs and hashes that nobody has any more. Reads the tables to the end; marks stay.';

-- a process comes here through finish(), which runs with its owner's rights; marks are for operators
revoke execute on function backfill.image_signals_settle(text[]), backfill.image_signals_turn(),
    backfill.mark_duplicate(text, text, boolean, text), backfill.unmark_duplicate(text, text), backfill.image_signals_prune() from public;
do $$
begin
    if to_regrole('backfill_operator') is not null then
        grant execute on function backfill.mark_duplicate(text, text, boolean, text), backfill.unmark_duplicate(text, text) to backfill_operator;
    end if;
end $$;
