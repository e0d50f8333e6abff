-- Purpose: say that the only face of a picture shows a person, as the user would in the application.
-- Parameters: asset, person. Returns a row for the face, or none where it was said before.
-- Index used: faces_asset_idx.
-- Lock order: the face, then its links; see backfill.assign_face().
select backfill.assign_face(f.id, p.id)
  from public.faces f
  join public.person_groups p on p.user_id = f.user_id
 where f.asset_id = %(asset)s::uuid and p.id = %(person)s::uuid and f.needs_assignment and not f.deleted
