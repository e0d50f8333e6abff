-- pgbackfill, engine: remove what revision 3 made; finish() and rescue() are then made anew from the
-- scripts of revision 1. A job with steps behind it is not lost: its needs view knows what is done.

drop function backfill.tell_failed(text, jsonb);
drop function backfill.finish(bigint, jsonb);
drop function backfill.rescue(interval);
alter table backfill.job drop column steps;
