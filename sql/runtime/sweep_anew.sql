-- Purpose: Let a process that stays sweep again, where the last sweep began that long ago.
-- Parameters: task: its name; seconds: how long ago
-- Index: sweep by (task, lane)
-- Lock order: sweep row (skip locked)
select backfill.sweep_anew(%(task)s, make_interval(secs => %(seconds)s)) as anew
