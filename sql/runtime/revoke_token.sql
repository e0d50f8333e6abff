-- Purpose: Refuse a token from now on, and end its log-ins.
-- Parameters: token: its name
-- Index: token_by_name, login_session_by_token
-- Lock order: the token (update), then its sessions (no key update)
select backfill.revoke_token(%(token)s)
