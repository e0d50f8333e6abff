-- pgbackfill, engine: remove what revision 9 made; the functions that it replaced are then made anew from
-- the script of revision 8. What new rows there are, the next sweep finds.

delete from backfill.input;
drop view backfill.watches;
drop function backfill.claim_new(bigint, integer, bigint), backfill.sweep_anew(text, interval),
    backfill.unwatch(text), backfill.watch(text), backfill.watch_table(backfill.input),
    backfill.create_arrive(backfill.input, text, text, text, text), backfill.declare_inputs(text, regclass, text, text[]),
    backfill.hear(), backfill.wake(text), backfill.wake_space();
drop trigger input_takes_its_triggers_along on backfill.input;
drop function backfill.input_is_deleted(), backfill.drop_watch(backfill.input);
drop table backfill.arrival, backfill.input;
