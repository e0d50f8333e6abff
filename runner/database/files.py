"""Where the SQL files and the migrations are: the repository's root, or the wheel's data."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def data_folder() -> Path:
    """The folder that holds `sql/` and `migrations/`."""
    packed = _PACKAGE / "_data"
    return packed if packed.is_dir() else _PACKAGE.parent


def sql_folder() -> Path:
    """The folder of everything a DBA reads."""
    return data_folder() / "sql"


def migrations_folder() -> Path:
    """The folder of alembic's environment; one folder in it for each branch."""
    return data_folder() / "migrations"


@cache
def statement(name: str) -> str:
    """The statement in `sql/runtime/<name>.sql`, without its header of comment lines.

    The header may hold a percent sign, which the driver would take for a parameter.
    """
    text = (sql_folder() / "runtime" / f"{name}.sql").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()


def preload() -> None:
    """Read every statement now: what runs for weeks outlives an upgrade that replaces the files."""
    for path in (sql_folder() / "runtime").glob("*.sql"):
        statement(path.stem)
