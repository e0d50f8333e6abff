-- Purpose: Those of the paths that some task's rows refer to; the others are orphans.
-- Parameters: paths: of objects that were listed before, 1,000 at most
-- Index: each task's index on the paths that its rows refer to
-- Lock order: none
select distinct k.path from backfill.kept_objects(%(paths)s::text[]) k (path)
