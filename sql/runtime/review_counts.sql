-- Purpose: How much waits for a person to look at it; null where the task is not installed. Counts to 1,000.
-- Parameters: none
-- Index: those of the views duplicates and faces_to_review
-- Lock order: none
select * from backfill.review_counts()
