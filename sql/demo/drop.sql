-- Removes the demo's sample application. Fails as long as a task's migration still binds to its
-- tables: migrate down first.

drop table if exists public.images;
