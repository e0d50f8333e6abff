"""The engine: what a service needs that a team leaves running.

Revision ID: engine_0010
"""

from runner.database.scripts import execute, run_folder, run_function, run_script, run_view

revision = "engine_0010"
down_revision = "engine_0009"
branch_labels = None
depends_on = None

REPLACED_VIEWS = (("engine/0008/50_views.sql", "progress"),)
"""Views that this revision replaced, and the script that has each as it was."""

REPLACED_FUNCTIONS = (
    ("engine/0007/30_control.sql", "create_run"),
    ("engine/0007/30_control.sql", "start"),
    ("engine/0001/33_runners.sql", "leave"),
    ("engine/0007/60_rescue.sql", "rescue"),
    ("engine/0008/40_claim.sql", "claim"),
    ("engine/0001/30_discover.sql", "sweep_open"),
    ("engine/0009/20_claim_new.sql", "claim_new"),
    ("engine/0001/33_runners.sql", "heartbeat"),
    ("engine/0006/50_finish.sql", "finish"),
    ("engine/0006/50_finish.sql", "prune"),
    ("engine/0001/20_control.sql", "pause"),
    ("engine/0001/33_runners.sql", "join_run"),
    ("engine/0007/40_discover.sql", "discover"),
    ("engine/0006/30_budgets.sql", "set_budget"),
    ("engine/0009/10_watch.sql", "watch"),
    # before what sets the roles up as this one says
    ("engine/0009/70_roles.sql", "roles"),
    ("engine/0004/40_roles.sql", "set_up_roles"),
    ("engine/0002/10_roles.sql", "take_down_roles"),
    ("engine/0009/70_roles.sql", "guarded_functions"),
)
"""Functions that this revision replaced, and the script that has each as it was."""


def upgrade() -> None:
    run_folder("engine/0010")


def downgrade() -> None:
    for path, name in REPLACED_VIEWS:
        run_view(path, name)
    run_script("engine/0010/90_down.sql")
    for path, name in REPLACED_FUNCTIONS:
        run_function(path, name)
    execute("select backfill.set_up_roles();")
