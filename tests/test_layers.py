"""Each part of the program imports only what stands below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "runner"

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "contract": {"errors"},
    "embedded": {"errors"},
    "database": {"contract", "errors"},
    "pictures": {"errors"},
    "fetch": {"errors"},
    "storage": {"errors"},
    "similarity": {"pictures", "errors"},
    "faces": {"pictures", "contract", "errors"},
    # a task reads no row and writes none; of the database it knows where its migrations are
    "tasks": {
        "pictures",
        "similarity",
        "faces",
        "fetch",
        "storage",
        "contract",
        "errors",
        "database.files",
    },
    "registry": {"contract", "errors"},
    "loop": {"options", "redaction", "database", "contract", "errors"},
    "hooks": {"fetch", "database", "contract", "errors"},
    "demo": {"pictures", "embedded", "database", "contract", "errors"},
    "pages": {"pictures", "fetch", "errors"},
    "options": {"contract", "errors"},
    "redaction": set(),
    "units": set(),
    "web": {
        "pages",
        "fetch",
        "options",
        "redaction",
        "units",
        "registry",
        "database",
        "contract",
        "errors",
    },
    "worker": {"loop", "hooks", "options", "redaction", "database", "contract", "errors"},
    "cli": {
        "worker",
        "hooks",
        "web",
        "redaction",
        "units",
        "options",
        "loop",
        "demo",
        "pages",
        "storage",
        "registry",
        "embedded",
        "database",
        "contract",
        "errors",
    },
}
"""What each part may import, beside itself; a dotted name allows that module alone."""

NO_DATABASE = ("pictures", "fetch", "storage", "similarity", "faces", "tasks")
"""Parts that computations are made of; they never talk to the database."""


def modules() -> list[Path]:
    """All modules of the package but its own top."""
    return sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.stem in ALLOWED)


def part_of(path: Path) -> str:
    """The part a module belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_what_stands_below(path: Path) -> None:
    """No module imports a part that stands above its own."""
    part = part_of(path)
    allowed = ALLOWED[part] | {part}
    for name in imports(path):
        if not name.startswith("runner."):
            continue
        inner = name.removeprefix("runner.")
        if inner.split(".")[0] == "__version__":
            continue
        fits = any(inner == a or inner.startswith(f"{a}.") for a in allowed)
        assert fits, f"{path.relative_to(ROOT)} imports {name}, which is not below {part}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_computations_never_talk_to_the_database(path: Path) -> None:
    """Nothing that a computation is made of imports a database driver."""
    if part_of(path) in NO_DATABASE:
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & {"psycopg", "sqlalchemy", "alembic"}


def test_every_part_has_its_place() -> None:
    """A new folder of the package has to be given a place among the layers."""
    found = {part_of(p) for p in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert found <= set(ALLOWED)
