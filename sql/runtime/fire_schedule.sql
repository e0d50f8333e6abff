-- Purpose: Fire a schedule, unless another worker was first.
-- Parameters: name; expected: when it is due, as far as is known here; at: the time that it is fired for; next: when it is due then; worker: who fires it; own: the condition that the task's code makes of its options, or null; refused: why it would not, or null
-- Index: schedule and tick by primary key; the needs view
-- Lock order: schedule row, task row
select * from backfill.fire_schedule(%(name)s, %(expected)s, %(at)s, %(next)s::timestamptz, %(worker)s::bigint, %(own)s::text, %(refused)s::text)
