"""The engine: guards, thresholds above which processes slow down or wait.

Revision ID: engine_0008
"""

from runner.database.scripts import execute, run_folder, run_function, run_script, run_view

revision = "engine_0008"
down_revision = "engine_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("engine/0008")


def downgrade() -> None:
    run_view("engine/0006/60_views.sql", "progress")
    run_script("engine/0008/90_down.sql")
    run_function("engine/0006/40_claim.sql", "claim")
    for name in ("roles", "guarded_functions"):
        run_function("engine/0007/70_roles.sql", name)
    execute("select backfill.set_up_roles();")
