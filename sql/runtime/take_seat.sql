-- Purpose: Take a seat of a run, unless somebody has it.
-- Parameters: worker, run, seat: their numbers
-- Index: seat by primary key
-- Lock order: seat row
select backfill.take_seat(%(worker)s, %(run)s, %(seat)s) as taken
