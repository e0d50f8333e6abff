-- Purpose: Take a guard away.
-- Parameters: guard: its name
-- Index: guard by primary key
-- Lock order: the guard (update), then its reading (update)
select backfill.drop_guard(%(guard)s)
