-- Purpose: Hear of rows that arrive, where the connection is direct.
-- Parameters: none
-- Index: none
-- Lock order: none
select backfill.hear()
