-- Purpose: Which of these sessions and tokens, whose streams are open, are good no longer, and why. Looking counts as use.
-- Parameters: sessions, tokens: SHA-256 of each
-- Index: login_session by primary key, token by its hash
-- Lock order: token and login_session rows, each at most once a minute, skipping those that are locked
select h.hash, case when s.token is null then 'logged out' else s.reason end as reason
  from unnest(%(sessions)s::bytea[]) as h (hash) left join lateral backfill.session_of(h.hash) s on true
 where s.token is null or s.reason is not null
union all
select h.hash, case when a.token is null then 'revoked' else a.reason end
  from unnest(%(tokens)s::bytea[]) as h (hash) left join lateral backfill.authenticate(h.hash) a on true
 where a.token is null or a.reason is not null
