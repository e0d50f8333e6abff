"""Everything that talks to PostgreSQL: connections, statements by name, migrations."""
