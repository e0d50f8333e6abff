-- Purpose: Everything about these pairs of payments, the newest first.
-- Parameters: payments: the later payment of each pair; others: the earlier one
-- Index: that of the view's pairs
-- Lock order: none
select d.payment, d.label, nullif(d.submitted_at, 'infinity') as submitted_at, d.image_url, d.picture, d.regions,
       d.duplicate_of, d.first_label, nullif(d.first_submitted_at, 'infinity') as first_submitted_at, d.first_image_url, d.first_picture, d.first_regions,
       d.verdict, d.same_file, d.percentage, d.finding, d.explanation, d.marked, d.marked_by, d.marked_at, d.mark_reason, d.generation
  from unnest(%(payments)s::text[], %(others)s::text[]) as w (payment, other)
  join backfill.duplicates d on d.payment = w.payment and d.duplicate_of = w.other
 order by nullif(d.submitted_at, 'infinity') desc nulls last, d.payment, d.first_submitted_at, d.duplicate_of
