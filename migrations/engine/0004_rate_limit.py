"""The engine: rates and numbers of calls at a time that all processes share.

Revision ID: engine_0004
"""

from runner.database.scripts import execute, run_folder, run_function, run_script

revision = "engine_0004"
down_revision = "engine_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("engine/0004")


def downgrade() -> None:
    run_script("engine/0004/90_down.sql")
    for name in ("roles", "guarded_functions", "set_up_roles"):
        run_function("engine/0002/10_roles.sql", name)
    execute("select backfill.set_up_roles();")
