-- Purpose: End a log-in to the console.
-- Parameters: session_hash: SHA-256 of its cookie
-- Index: login_session by primary key
-- Lock order: the log-in
select backfill.end_session(%(session_hash)s) as ended
