-- Purpose: Say whom a face shows.
-- Parameters: face: its key; person: that of a person of the same user
-- Index: those of the application's tables
-- Lock order: the face, its links
select backfill.name_face(%(face)s::text, %(person)s::text)
