"""The engine: rows that are new or changed are noted by triggers, and done before all others.

Revision ID: engine_0009
"""

from runner.database.scripts import execute, run_folder, run_function, run_script

revision = "engine_0009"
down_revision = "engine_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("engine/0009")


def downgrade() -> None:
    run_script("engine/0009/90_down.sql")
    for name in ("roles", "guarded_functions"):
        run_function("engine/0008/70_roles.sql", name)
    execute("select backfill.set_up_roles();")
