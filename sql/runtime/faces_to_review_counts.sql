-- Purpose: How many faces a person has to name, of how many users, and where and when that was read.
-- Parameters: user: only those of this user, or null for all
-- Index: that of the view's faces
-- Lock order: none
select current_database() as database, now() as read_at, count(*) as faces, count(distinct f.user_id) as users
  from backfill.faces_to_review f
 where %(user)s::text is null or f.user_id::text = %(user)s
