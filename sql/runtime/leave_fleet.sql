-- Purpose: A worker says goodbye; what it has is free.
-- Parameters: worker: its number
-- Index: worker by primary key, seat_by_worker
-- Lock order: worker row, then its seats
select backfill.leave_fleet(%(worker)s)
