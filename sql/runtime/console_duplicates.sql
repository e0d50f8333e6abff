-- Purpose: Pairs of payments of one kind, the newest first, with everything about them.
-- Parameters: kind: review, duplicate or not_duplicate; limit: pairs at most; offset: pairs that are left out before them
-- Index: image_subject_alike, then one look-up a payment and picture
-- Lock order: none
select d.payment, d.label, nullif(d.submitted_at, 'infinity') as submitted_at, d.image_url, d.picture, d.regions,
       d.duplicate_of, d.first_label, nullif(d.first_submitted_at, 'infinity') as first_submitted_at, d.first_image_url, d.first_picture, d.first_regions,
       d.verdict, d.same_file, d.percentage, d.finding, d.explanation, d.marked, d.marked_by, d.marked_at, d.mark_reason, d.generation
  from backfill.duplicates d
 where coalesce(d.marked, case d.verdict when 'copy' then 'duplicate' else 'review' end) = %(kind)s
 order by nullif(d.submitted_at, 'infinity') desc nulls last, d.payment, d.first_submitted_at, d.duplicate_of
 limit %(limit)s offset %(offset)s
