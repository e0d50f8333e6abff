-- Purpose: What tokens there are.
-- Parameters: none
-- Index: token: few rows; login_session_by_token
-- Lock order: none
select * from backfill.tokens order by state <> 'live', name, id
