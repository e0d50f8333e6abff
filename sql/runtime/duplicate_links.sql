-- Purpose: Every pair of payments that are alike, the newest first, with no more than it takes to count and to group them. kind: duplicate; review: only a person can judge it and nobody has; not_duplicate: a person said so.
-- Parameters: payment: only its pairs, on either side, or null; since: only pairs whose later payment is from then on, or null
-- Index: image_subject_alike, then one look-up a payment and picture
-- Lock order: none
select d.payment, d.duplicate_of, nullif(d.submitted_at, 'infinity') as submitted_at, nullif(d.first_submitted_at, 'infinity') as first_submitted_at, d.label, d.first_label,
       coalesce(d.marked, case d.verdict when 'copy' then 'duplicate' else 'review' end) as kind
  from backfill.duplicates d
 where (%(payment)s::text is null or %(payment)s::text in (d.payment, d.duplicate_of))
   and (%(since)s::timestamptz is null or nullif(d.submitted_at, 'infinity') >= %(since)s::timestamptz)
 order by nullif(d.submitted_at, 'infinity') desc nulls last, d.payment, d.first_submitted_at, d.duplicate_of
