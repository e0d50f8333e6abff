"""The engine: a limit of a run for each group of rows, such as each user.

Revision ID: engine_0007
"""

from runner.database.scripts import execute, run_folder, run_function, run_script

revision = "engine_0007"
down_revision = "engine_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("engine/0007")


def downgrade() -> None:
    run_script("engine/0007/90_down.sql")
    for name in ("count_pending", "preview", "create_run", "start", "end_run"):
        run_function("engine/0001/20_control.sql", name)
    run_function("engine/0001/30_discover.sql", "discover")
    run_function("engine/0005/25_suspects.sql", "rescue")
    for name in ("roles", "guarded_functions"):
        run_function("engine/0006/70_roles.sql", name)
    execute("select backfill.set_up_roles();")
