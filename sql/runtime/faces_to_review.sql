-- Purpose: Faces that a person has to name, user by user.
-- Parameters: user: only those of this user, or null for all; limit: faces at most
-- Index: that of the view's faces
-- Lock order: none
select f.face::text as face, f.asset::text as asset, f.user_id::text as user_id, f.url, f.bounding_box, f.confidence,
       f.reason, f.suggestions, f.created_at
  from backfill.review_faces(%(user)s::text, %(limit)s::bigint) f
