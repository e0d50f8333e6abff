-- Purpose: Let the rest of this transaction run under a role, with a token's name for the audit.
-- Parameters: pg_role: the role, or none; token: the token's name, or empty; read_only: on or off;
--   timeout, lock_timeout: milliseconds that a statement may take, and may wait for a lock
-- Index: none
-- Lock order: none
select set_config('transaction_read_only', %(read_only)s, true), set_config('statement_timeout', %(timeout)s, true),
       set_config('lock_timeout', %(lock_timeout)s, true),
       set_config('backfill.token', %(token)s, true), set_config('role', %(pg_role)s, true)
