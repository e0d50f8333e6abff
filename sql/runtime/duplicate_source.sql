-- Purpose: Where and when duplicates are read, for whoever gets the page.
-- Parameters: none
-- Index: none
-- Lock order: none
select current_database() as database, now() as read_at
