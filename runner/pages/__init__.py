"""Self-contained HTML pages, for people without psql: one file each, no script, no network."""
