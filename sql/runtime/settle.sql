-- Purpose: Say what was used of a reservation.
-- Parameters: id: the reservation's name; used
-- Index: reservation and run_meter by primary key
-- Lock order: reservation row, then this process's meter
select backfill.settle(%(id)s, %(used)s::numeric)
