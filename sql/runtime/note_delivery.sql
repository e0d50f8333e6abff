-- Purpose: Take down what came of sending a message to a webhook.
-- Parameters: id, attempt: which; status: HTTP's, null where there was no answer; error: null where it was
--   taken; ms: how long that took; after: seconds that the server asked to wait, or null
-- Index: delivery by primary key
-- Lock order: the delivery, then, where its server is gone for good, the webhook
select backfill.note_delivery(%(id)s, %(attempt)s, %(status)s::integer, %(error)s::text, %(ms)s, %(after)s::double precision) as state
