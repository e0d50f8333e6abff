"""The engine: effects, prices, what was spent, and budgets in money.

Revision ID: engine_0006
"""

from runner.database.scripts import execute, run_folder, run_function, run_script, run_view

revision = "engine_0006"
down_revision = "engine_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("engine/0006")


def downgrade() -> None:
    for name in ("runs", "progress"):
        run_view("engine/0001/40_views.sql", name)
    run_script("engine/0006/90_down.sql")
    run_function("engine/0005/20_budgets.sql", "claim")
    run_function("engine/0005/10_figures.sql", "finish")
    run_function("engine/0001/20_control.sql", "prune")
    for name in ("roles", "guarded_functions"):
        run_function("engine/0005/40_roles.sql", name)
    execute("select backfill.set_up_roles();")
