"""image_signals: what the activity log says of a payment.

Revision ID: image_signals_0002
"""

from alembic import context

from runner.database.scripts import Binding, run_script

revision = "image_signals_0002"
down_revision = "image_signals_0001"
branch_labels = None
depends_on = None

TASK = "image_signals"
FOLDER = "tasks/image_signals/0002"


def upgrade() -> None:
    binding = Binding.of(TASK, context.config.attributes)
    label = (
        binding.expression("p.{label}", {"label": binding.column("label")})
        if binding.given("label")
        else binding.optional("label", "text")
    )
    run_script(
        f"{FOLDER}/10_activity.sql",
        {"table": binding.table("table"), "key": binding.column("key"), "label": label},
    )


def downgrade() -> None:
    run_script(f"{FOLDER}/90_down.sql")
