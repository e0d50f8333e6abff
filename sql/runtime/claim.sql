-- Purpose: Take the next jobs for this process, and hear how to go on.
-- Parameters: runner: this process's runner id; want: jobs at most; after, due_after: where its last
--   claim ended (0 and null: from the start); alone: it holds nothing else
-- Index: job_fresh, job_due, job_solo; bounded from below by after and due_after
-- Lock order: runner row (key share), run row (only with a limit), job rows (skip locked)
select * from backfill.claim(%(runner)s, %(want)s, %(after)s, %(due_after)s::timestamptz, %(alone)s)
