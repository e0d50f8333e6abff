-- Purpose: The login that the conditions of runs are compared with.
-- Parameters: none
-- Index: none
-- Lock order: none
select session_user::text as login
