-- Purpose: The database's time.
-- Parameters: none
-- Index: none
-- Lock order: none
select clock_timestamp() as now
