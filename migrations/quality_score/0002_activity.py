"""quality_score: what the activity log says of an image, and how scores are spread.

Revision ID: quality_score_0002
"""

from alembic import context

from runner.database.scripts import Binding, run_script

revision = "quality_score_0002"
down_revision = "quality_score_0001"
branch_labels = None
depends_on = None

TASK = "quality_score"
FOLDER = "tasks/quality_score/0002"


def upgrade() -> None:
    binding = Binding.of(TASK, context.config.attributes)
    run_script(
        f"{FOLDER}/10_activity.sql",
        {"table": binding.table("table"), "key": binding.column("key")},
    )


def downgrade() -> None:
    run_script(f"{FOLDER}/90_down.sql")
