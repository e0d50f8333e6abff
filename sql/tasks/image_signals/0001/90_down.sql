-- image_signals: remove the binding, what is kept of pictures, and whatever the upgrade added to the
-- application's tables

do $$
begin
    -- in a table of the application's own our hashes would be counted twice by the next installation
    if not ('table ' || {hashes_name}) = any (coalesce((select added from backfill.task where name = 'image_signals'), '{{}}')) then
        delete from {hashes} h using (select distinct s.hash, s.algorithm from backfill.image_subject s) g
         where (h.hash, h.algorithm) = (g.hash, g.algorithm);
    end if;
end $$;

drop view backfill.image_signals_checks, backfill.image_signals_newest_duplicates, backfill.image_signals_status, backfill.image_signals_coverage;
drop view backfill.duplicates, backfill.needs_image_signals;
drop function backfill.fail_image_signals(jsonb);
drop function backfill.apply_image_signals(jsonb);
drop function backfill.image_signals_analysed(jsonb);
drop function backfill.image_signals_prune();
drop function backfill.unmark_duplicate(text, text);
drop function backfill.mark_duplicate(text, text, boolean, text);
drop function backfill.image_signals_recount(text[], text[]);
drop function backfill.image_signals_affected(text[]);
drop function backfill.image_signals_settle(text[]);
drop function backfill.image_sentence(backfill.image_alike);
drop function backfill.image_finding(backfill.image_alike);
drop view backfill.image_alike;
drop function backfill.image_comparison(integer, bytea, integer, integer, integer, integer);
drop function backfill.image_time(timestamptz);
drop function backfill.image_signals_turn();
drop view backfill.image_marked, backfill.image_link;
drop table backfill.image_mark, backfill.image_pair, backfill.image_subject, backfill.image_picture;

do $$
declare
    v_added text[] := coalesce((select added from backfill.task where name = 'image_signals'), '{{}}');
    v_name text;
begin
    if ('table ' || {hashes_name}) = any (v_added) then
        drop table if exists {hashes};
    elsif ('index ' || {hashes_index_literal}) = any (v_added) then
        drop index if exists {hashes_schema}.{hashes_index};
    end if;
    if ('table ' || {signals_name}) = any (v_added) then
        drop table if exists {signals};
        return;
    end if;
    if ('index ' || {signals_index_literal}) = any (v_added) then
        drop index if exists {signals_schema}.{signals_index};
    end if;
    foreach v_name in array v_added loop
        if v_name like 'column %' then
            execute format('alter table %s drop column if exists %I', {signals_name}::regclass, split_part(v_name, ' ', 2));
        end if;
    end loop;
end $$;

select backfill.unregister_task('image_signals');
