"""The engine: jobs in several steps, and a task that is told of rows that failed.

Revision ID: engine_0003
"""

from runner.database.scripts import execute, run_folder, run_function, run_script

revision = "engine_0003"
down_revision = "engine_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("engine/0003")


def downgrade() -> None:
    run_script("engine/0003/90_down.sql")
    run_function("engine/0001/32_finish.sql", "finish")
    run_function("engine/0001/33_runners.sql", "rescue")
    execute("select backfill.set_up_roles();")
