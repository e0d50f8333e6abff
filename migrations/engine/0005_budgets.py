"""The engine: figures and budgets of a run, suspects of a crash, objects in a storage.

Revision ID: engine_0005
"""

from runner.database.scripts import execute, run_folder, run_function, run_script

revision = "engine_0005"
down_revision = "engine_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("engine/0005")


def downgrade() -> None:
    run_script("engine/0005/90_down.sql")
    run_function("engine/0001/31_claim.sql", "claim")
    for name in ("finish", "rescue"):
        run_function("engine/0003/10_steps.sql", name)
    for name in ("roles", "guarded_functions"):
        run_function("engine/0004/40_roles.sql", name)
    execute("select backfill.set_up_roles();")
