-- pgbackfill, engine: remove what revision 4 made; the functions that say who may do what are then
-- made anew from the scripts of revision 2.

drop view backfill.rate_limits, backfill.rate_holders;
drop function backfill.pause_words(text, timestamptz);
drop function backfill.lift_pause(text);
drop function backfill.set_rate(text, double precision, integer, integer, double precision);
drop function backfill.prune_rates(interval);
drop function backfill.release_slots(uuid);
drop function backfill.throttled(text, double precision);
drop function backfill.take_tokens(text, uuid, bigint, integer[], integer, integer, double precision);
drop function backfill.faded(double precision, timestamptz, timestamptz);
drop function backfill.lock_rate(text);
drop table backfill.rate_limit;
drop type backfill.rate_holder;
drop function backfill.pass_rate_on();
drop function backfill.mark_rate_set();
drop function backfill.set_up_roles();
drop function backfill.guarded_functions();
drop function backfill.roles();
