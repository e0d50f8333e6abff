-- Purpose: Open a session of the console for a token. A refusal is a row too: to be committed, since failures are counted.
-- Parameters: secret_hash, session_hash: SHA-256 of the token's secret and of the new cookie; source: the address it comes from;
--   lasts_s: seconds that it may last
-- Index: token_is_unique, login_session_by_source; login_failure by primary key
-- Lock order: login_failure of all addresses, then of this one (update); token (no key update)
select * from backfill.log_in(%(secret_hash)s, %(session_hash)s, %(source)s, make_interval(secs => %(lasts_s)s::double precision))
