"""vehicle_images: pictures of vehicles, outcomes of URLs, needs view, apply functions.

Revision ID: vehicle_images_0001
"""

from alembic import context, op

from runner.database.scripts import Binding, concurrent_index, render, run_script
from runner.errors import UsageError

revision = "vehicle_images_0001"
down_revision = None
branch_labels = ("vehicle_images",)
depends_on = "engine_0005"

VERSION = 1
TASK = "vehicle_images"
SOURCE = "trickle_backfill"

FOLDER = "tasks/vehicle_images/0001"

NEEDS = (
    "jsonb_typeof({metadata} -> 'image_urls') in ('array', 'string')"
    " and ({metadata} -> 'image_urls') not in ('[]', '\"\"')"
    " and ({metadata} ->> 'images_backfilled') is distinct from 'true'"
)


def names() -> dict[str, object]:
    """The names that the scripts are written with, from the task's binding."""
    binding = Binding.of(TASK, context.config.attributes)
    table, images = binding.short_name("table"), binding.short_name("images")
    columns: dict[str, object] = {
        "version": binding.literal(str(VERSION), raw=True),
        "binding": binding.as_literal(),
        "source": binding.literal(SOURCE),
        "table": binding.table("table"),
        "table_schema": binding.schema("table"),
        "key": binding.column("key"),
        "key_type": binding.type_of("table", "key"),
        "metadata": binding.column("metadata"),
        "images": binding.table("images"),
        "images_name": binding.name_literal("images"),
        "images_schema": binding.schema("images"),
        "images_pkey": binding.name(f"{images}_pkey"),
        "vehicle_id": binding.column("vehicle_id"),
        "vehicle_id_literal": binding.literal(binding["vehicle_id"]),
        "images_index": binding.name(f"{images}_vehicle_file_hash_key"),
        "images_index_literal": binding.literal(f"{images}_vehicle_file_hash_key"[:63]),
        "path_index": binding.name(f"{images}_storage_path_idx"),
        "path_index_literal": binding.literal(f"{images}_storage_path_idx"[:63]),
        "needs_index": binding.name(f"{table}_needs_images_idx"),
        "needs_index_literal": binding.literal(f"{table}_needs_images_idx"[:63]),
    }
    condition = NEEDS
    if binding.given("is_public"):
        columns["is_public"] = binding.column("is_public")
        condition = "{is_public} and " + NEEDS
    columns["needs_condition"] = binding.expression(condition, columns)
    first = ""
    if binding.given("primary_url"):
        columns["primary_url"] = binding.column("primary_url")
        first = ",\n           {primary_url} = coalesce(nullif(v.{primary_url}, ''), v_first)"
    columns["primary"] = binding.expression(first, columns)
    if binding.given("organizations"):
        columns["organizations"] = binding.table("organizations")
        columns["organization"] = binding.column("organization")
        columns["organization_vehicle"] = binding.column("organization_vehicle")
    return columns


def check_types(binding: Binding) -> None:
    """Raise `UsageError` where the column of metadata is something else."""
    if context.is_offline_mode():
        return
    kind = binding.type_of("table", "metadata").as_string(None)
    if kind != "jsonb":
        raise UsageError(
            f"vehicle_images: {binding['metadata']} of {binding['table']} is {kind} and not jsonb; "
            "name the column that holds image_urls with --set metadata=column"
        )


def organizations(binding: Binding, values: dict[str, object]) -> None:
    """The view by organization, where the application has such a table."""
    if not binding.given("organizations"):
        return
    if context.is_offline_mode() or _exists(binding, "organizations"):
        binding.check_columns("organizations", ("organization", "organization_vehicle"))
        run_script(f"{FOLDER}/40_organizations.sql", values)


def _exists(binding: Binding, table: str) -> bool:
    connection = op.get_bind().connection.driver_connection
    name = render("{t}", {"t": binding.table(table)})
    row = connection.execute("select to_regclass(%s) is not null", [name]).fetchone()
    return bool(row[0])


def upgrade() -> None:
    """Each step leaves a state from which the upgrade can be run again."""
    binding = Binding.of(TASK, context.config.attributes)
    binding.check_columns("table", ("key", "metadata", "is_public", "primary_url"))
    check_types(binding)
    if not context.is_offline_mode() and _exists(binding, "images"):
        binding.check_columns("images", ("vehicle_id",))
    values = names()
    run_script(f"{FOLDER}/10_application.sql", values)
    with op.get_context().autocommit_block():
        concurrent_index(
            TASK, values["images_schema"], values["images_index"],
            "on {images} ({vehicle_id}, file_hash)", values, unique=True,
        )  # fmt: skip
        concurrent_index(
            TASK, values["images_schema"], values["path_index"],
            "on {images} (storage_path) where storage_path is not null", values,
        )  # fmt: skip
        concurrent_index(
            TASK, values["table_schema"], values["needs_index"],
            "on {table} ({key}) where {needs_condition}", values,
        )  # fmt: skip
    run_script(f"{FOLDER}/20_outcomes.sql", values)
    run_script(f"{FOLDER}/30_binding.sql", values)
    organizations(binding, values)


def downgrade() -> None:
    run_script(f"{FOLDER}/90_down.sql", names())
