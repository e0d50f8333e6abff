"""The engine: tables, state machine and views.

Revision ID: engine_0001
"""

from runner.database.scripts import run_folder, run_script

revision = "engine_0001"
down_revision = None
branch_labels = ("engine",)
depends_on = None


def upgrade() -> None:
    run_folder("engine/0001")


def downgrade() -> None:
    run_script("engine/0001/90_down.sql")
