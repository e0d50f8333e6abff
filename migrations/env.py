"""How alembic runs our revisions: its version table is ours alone, in schema `backfill`.

Called through `runner.database.migrate`, which hands over the connection and the bindings.
"""

from typing import Any

from alembic import context

VERSION_TABLE = "alembic_version"
SCHEMA = "backfill"


def configure(**how: Any) -> None:
    """Configure alembic's context, the same online and offline."""
    context.configure(
        target_metadata=None,
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        transaction_per_migration=True,
        **how,
    )


if context.is_offline_mode():
    configure(dialect_name="postgresql", literal_binds=True)
    context.get_context().impl.static_output(f"create schema if not exists {SCHEMA};")
    with context.begin_transaction():
        context.run_migrations()
else:
    configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()
