-- Purpose: Leave a face without a name.
-- Parameters: face: its key
-- Index: that of the application's faces
-- Lock order: the face
select backfill.leave_face(%(face)s::text)
