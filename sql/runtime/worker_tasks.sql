-- Purpose: What a worker may serve: the installed tasks and their versions, and the login that conditions are compared with.
-- Parameters: none
-- Index: none (a small table)
-- Lock order: none
select name, version, session_user::text as login from backfill.task order by name
