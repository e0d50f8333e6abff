-- Purpose: How far the analysis of one payment's picture is; no row for a payment that image_signals has not seen.
-- Parameters: payment: its key
-- Index: job by (task, key)
-- Lock order: none
select j.state, j.error_message from backfill.job j where j.task = 'image_signals' and j.key = %(payment)s::text
