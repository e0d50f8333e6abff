-- Purpose: How many images have which quality score, in steps of ten; reads the whole table.
-- Parameters: none; the task quality_score is installed
-- Index: the one of the column quality_score, or none
-- Lock order: none
select h.label, h.images as rows from backfill.quality_score_histogram h order by h.from_score
