-- Purpose: The engine's revision.
-- Parameters: none
-- Index: none (a table of a few rows)
-- Lock order: none
select max(version_num) as engine from backfill.alembic_version where version_num like 'engine\_%%'
