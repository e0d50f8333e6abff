-- Purpose: Take messages to webhooks that are due, to send them.
-- Parameters: most: how many; seconds: how long they are this process's own; only: this one, null for any
-- Index: delivery_waiting, for each webhook
-- Lock order: deliveries that nobody else has locked, and nothing else
select * from backfill.take_deliveries(%(most)s, make_interval(secs => %(seconds)s), %(only)s::uuid)
