-- Purpose: End a run that none of its processes ended.
-- Parameters: run: the run; reason: why
-- Index: run by primary key
-- Lock order: run row, job rows of its own lane
select backfill.end_run(%(run)s, %(reason)s)
