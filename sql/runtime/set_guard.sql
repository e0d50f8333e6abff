-- Purpose: Set a guard, a new one or one that is there; what is null stays.
-- Parameters: guard: its name; kind, hold_above, slow_above, clear_below, task, subject, query,
--   slow_by, on_failure, run_as: its settings; every, timeout: seconds
-- Index: guard by primary key
-- Lock order: the guard (update), then its reading (no key update)
select backfill.set_guard(
    %(guard)s, %(kind)s::text, trim_scale(%(hold_above)s::numeric), trim_scale(%(slow_above)s::numeric), trim_scale(%(clear_below)s::numeric),
    %(task)s::text, %(subject)s::text, %(query)s::text, %(slow_by)s::numeric,
    make_interval(secs => %(every)s::double precision), make_interval(secs => %(timeout)s::double precision),
    %(on_failure)s::text, %(run_as)s::text)
