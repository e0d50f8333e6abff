"""image_signals: signals of payments, pictures and their hashes, needs view, apply functions.

Revision ID: image_signals_0001
"""

from alembic import context, op

from runner.database.scripts import Binding, concurrent_index, run_script
from runner.errors import UsageError

revision = "image_signals_0001"
down_revision = None
branch_labels = ("image_signals",)
depends_on = "engine_0003"

VERSION = 1
TASK = "image_signals"


def names() -> dict[str, object]:
    """The names that the scripts are written with, from the task's binding."""
    binding = Binding.of(TASK, context.config.attributes)
    signals, hashes = binding.short_name("signals"), binding.short_name("hash_index")
    key_type = binding.type_of("table", "key")
    columns: dict[str, object] = {
        "version": binding.literal(str(VERSION), raw=True),
        "binding": binding.as_literal(),
        "table": binding.table("table"),
        "key": binding.column("key"),
        "key_type": key_type,
        "key_type_name": binding.literal(key_type.as_string(None)),
        "url": binding.column("url"),
        "created_at": binding.column("created_at"),
        "signals": binding.table("signals"),
        "signals_name": binding.name_literal("signals"),
        "signals_schema": binding.schema("signals"),
        "signals_pkey": binding.name(f"{signals}_pkey"),
        "signals_index": binding.name(f"{signals}_payment_key"),
        "signals_index_literal": binding.literal(f"{signals}_payment_key"[:63]),
        "hashes": binding.table("hash_index"),
        "hashes_name": binding.name_literal("hash_index"),
        "hashes_schema": binding.schema("hash_index"),
        "hashes_index": binding.name(f"{hashes}_hash_algorithm_key"),
        "hashes_index_literal": binding.literal(f"{hashes}_hash_algorithm_key"[:63]),
    }
    for place, alias in (("label", "p"), ("label_of_later", "later")):
        columns[place] = (
            binding.expression(f"{alias}.{{label}}", {"label": binding.column("label")})
            if binding.given("label")
            else binding.optional("label", "text")
        )
    return columns


def check_time(binding: Binding) -> None:
    """Raise `UsageError` where what should say when a payment was submitted is no time."""
    if context.is_offline_mode():
        return
    kind = binding.type_of("table", "created_at").as_string(None)
    if not kind.startswith(("timestamp", "date")):
        raise UsageError(
            f"image_signals: {binding['created_at']} of {binding['table']} is {kind} and no time; "
            "name the column that says when a payment was submitted with --set created_at=column"
        )


def upgrade() -> None:
    """Each step leaves a state from which the upgrade can be run again."""
    binding = Binding.of(TASK, context.config.attributes)
    binding.check_columns("table", ("key", "url", "created_at", "label"))
    check_time(binding)
    values = names()
    run_script("tasks/image_signals/0001/10_application.sql", values)
    with op.get_context().autocommit_block():
        concurrent_index(
            TASK, values["signals_schema"], values["signals_index"],
            "on {signals} (payment_submission_id)", values, unique=True,
        )  # fmt: skip
        concurrent_index(
            TASK, values["hashes_schema"], values["hashes_index"],
            "on {hashes} (hash, algorithm)", values, unique=True,
        )  # fmt: skip
    run_script("tasks/image_signals/0001/20_pictures.sql", values)
    run_script("tasks/image_signals/0001/30_hash_index.sql")
    run_script("tasks/image_signals/0001/40_compare.sql", values)
    run_script("tasks/image_signals/0001/50_binding.sql", values)


def downgrade() -> None:
    values = names()
    run_script("tasks/image_signals/0001/90_down.sql", values)
    run_script("tasks/image_signals/0001/39_hash_index_down.sql")
