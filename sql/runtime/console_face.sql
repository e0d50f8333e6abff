-- Purpose: Where the picture of a face to review is, or that of a face that it is like.
-- Parameters: face: the face to review; other: one of its suggestions' faces, or null
-- Index: that of the view's faces
-- Lock order: none
select coalesce(s.url, f.url) as url, case when s.face is null then f.bounding_box else s.bounding_box end as bounding_box
  from backfill.review_faces(p_face => %(face)s::text) f
  left join lateral jsonb_to_recordset(f.suggestions) as s (face text, url text, bounding_box jsonb) on s.face = %(other)s::text
 where %(other)s::text is null or s.face is not null
