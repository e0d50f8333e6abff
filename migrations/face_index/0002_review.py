"""face_index: faces to review for readers and operators.

Revision ID: face_index_0002
"""

from alembic import context

from runner.database.scripts import Binding, run_script

revision = "face_index_0002"
down_revision = "face_index_0001"
branch_labels = None
depends_on = None

TASK = "face_index"
FOLDER = "tasks/face_index/0002"


def upgrade() -> None:
    binding = Binding.of(TASK, context.config.attributes)
    names: dict[str, object] = {name: binding.table(name) for name in ("faces", "people")}
    run_script(f"{FOLDER}/10_review.sql", names)


def downgrade() -> None:
    run_script(f"{FOLDER}/90_down.sql")
