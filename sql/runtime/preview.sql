-- Purpose: Rows that a run would take, the first of them. Run in a read-only transaction.
-- Parameters: query: made by pending_sql
-- Index: the needs view
-- Lock order: none
select backfill.pending_sql(%(task)s, %(where)s::text) as query
