"""quality_score: columns and indexes on the application's images, needs view, apply function.

Revision ID: quality_score_0001
"""

from alembic import context, op

from runner.database.scripts import Binding, concurrent_index, run_script

revision = "quality_score_0001"
down_revision = None
branch_labels = ("quality_score",)
depends_on = "engine_0001"

VERSION = 1
TASK = "quality_score"


def names() -> dict[str, object]:
    """The names that the scripts are written with, from the task's binding."""
    binding = Binding.of(TASK, context.config.attributes)
    table = binding.short_name("table")
    # What the computation reads of a row; a change of it means the score is out of date.
    revision_of = (
        "md5({url})" if not binding.given("boxes") else "md5({url} || coalesce({boxes}::text, ''))"
    )
    columns: dict[str, object] = {
        "version": binding.literal(str(VERSION), raw=True),
        "binding": binding.as_literal(),
        "table": binding.table("table"),
        "table_name": binding.name_literal("table"),
        "table_schema": binding.schema("table"),
        "key": binding.column("key"),
        "key_type": binding.type_of("table", "key"),
        "url": binding.column("url"),
        "width": binding.optional("width", "integer"),
        "height": binding.optional("height", "integer"),
        "source_type": binding.optional("source_type", "text"),
        "boxes": binding.optional("boxes", "jsonb"),
        "check_name": binding.name(f"{table}_quality_score_range"),
        "check_literal": binding.literal(f"{table}_quality_score_range"),
        "score_index": binding.name(f"idx_{table}_quality_score"),
        "score_index_literal": binding.literal(f"idx_{table}_quality_score"),
        "needs_index": binding.name(f"{table}_needs_quality_score_idx"),
        "version_index": binding.name(f"{table}_quality_version_idx"),
    }
    columns["revision"] = binding.expression(revision_of, columns)
    return columns


def upgrade() -> None:
    """Each step leaves a state from which the upgrade can be run again."""
    binding = Binding.of(TASK, context.config.attributes)
    binding.check_columns("table", ("key", "url", "width", "height", "source_type", "boxes"))
    values = names()
    run_script("tasks/quality_score/0001/10_columns.sql", values)
    with op.get_context().autocommit_block():
        run_script("tasks/quality_score/0001/20_validate.sql", values, in_transaction=False)
        concurrent_index(
            TASK,
            values["table_schema"],
            values["score_index"],
            "on {table} (quality_score desc) where quality_score is not null",
            values,
        )
        concurrent_index(
            TASK,
            values["table_schema"],
            values["needs_index"],
            "on {table} ({key}) where {url} is not null and (quality_score is null"
            " or (quality_details ->> 'revision') <> {revision})",
            values,
        )
        concurrent_index(
            TASK,
            values["table_schema"],
            values["version_index"],
            "on {table} (((quality_details ->> 'version')::integer))"
            " where quality_details is not null",
            values,
        )
    run_script("tasks/quality_score/0001/40_view_and_apply.sql", values)


def downgrade() -> None:
    run_script("tasks/quality_score/0001/90_down.sql", names())
