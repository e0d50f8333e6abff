"""The engine: roles for readers, runners and operators.

Revision ID: engine_0002
"""

import logging

from alembic import context, op

from runner.database.scripts import run_folder, run_script

revision = "engine_0002"
down_revision = "engine_0001"
branch_labels = None
depends_on = None

log = logging.getLogger("runner.database.migrate")


def tell(level: int) -> None:
    """Pass on the server's notices: a role that could not be created, or that stays."""
    if context.is_offline_mode():
        return

    def said(notice: object) -> None:
        primary, hint = getattr(notice, "message_primary", ""), getattr(notice, "message_hint", "")
        log.log(level, "%s", f"{primary}; {hint}" if hint else primary)

    op.get_bind().connection.driver_connection.add_notice_handler(said)


def upgrade() -> None:
    tell(logging.WARNING)
    run_folder("engine/0002")


def downgrade() -> None:
    tell(logging.INFO)
    run_script("engine/0002/90_down.sql")
