-- pgbackfill, engine: remove what revision 8 made; claim(), the view progress, and the functions that
-- say who may do what are made anew from the scripts of earlier revisions, the view before this script.

drop view backfill.guards;
drop function backfill.claim(bigint, integer, bigint, timestamptz, boolean), backfill.take_guards(text), backfill.guard_now(text, boolean),
    backfill.drop_guard(text), backfill.set_guard(text, text, numeric, numeric, numeric, text, text, text, numeric, interval, interval, text, text),
    backfill.evaluate_guard(text), backfill.note_guard(text, numeric, text, text, interval), backfill.measure_guard(text),
    backfill.measure_wal(backfill.guard), backfill.measure_vacuum(backfill.guard), backfill.measure_replication(backfill.guard),
    backfill.guard_reason(backfill.guard, text, numeric, text, text), backfill.guard_amount(text, numeric),
    backfill.guard_level(text, numeric, numeric, numeric, numeric);
drop table backfill.guard_reading, backfill.guard;
drop function backfill.guard_was_set();
