"""What `backfill faces review` shows, read in one READ ONLY transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.redaction import redact

if TYPE_CHECKING:
    from runner.database.session import Connection

TASK = "face_index"


@dataclass(frozen=True, slots=True)
class Found:
    """Faces as rows of `backfill.faces_to_review`, those of a user together.

    `source` names the database and the time (`read_at`); `all_faces` and `users` are how many
    there are without a limit. `last_options` are those of the task's last run.
    """

    user: str | None
    source: Mapping[str, Any]
    all_faces: int
    users: int
    faces: Sequence[Mapping[str, Any]]
    last_options: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            **self.source,
            "user": self.user,
            "counts": {"faces": self.all_faces, "users": self.users},
            "faces": [
                {
                    **_without_query(face),
                    "suggestions": [_without_query(one) for one in face["suggestions"]],
                }
                for face in self.faces
            ],
        }


def user_key(text: str) -> str:
    """A user's key as the task takes it; raises `UsageError`."""
    from runner.registry import find

    (option,) = (option for option in find(TASK).options if option.name == "user_id")
    return text if option.stored_as is None else str(option.stored_as(text))


def find(connection: Connection, user: str | None, limit: int) -> Found:
    """The faces to review, of one user or of all."""
    from runner.database.files import statement

    (counts,) = connection.execute(statement("faces_to_review_counts"), {"user": user}).fetchall()
    faces = connection.execute(
        statement("faces_to_review"), {"user": user, "limit": limit}
    ).fetchall()
    source = {name: counts[name] for name in ("database", "read_at")}
    return Found(user, source, counts["faces"], counts["users"], faces, _last_options(connection))


def _last_options(connection: Connection) -> Mapping[str, Any]:
    from runner.database.files import statement

    runs = connection.execute(statement("runs"), {"task": TASK, "limit": 1}).fetchall()
    if not runs:
        return {}
    (run,) = connection.execute(statement("run_options"), {"run": runs[0]["run"]}).fetchall()
    options: Mapping[str, Any] = run["options"]
    return options


def _without_query(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose address ends before the query string, which may hold a signature."""
    return {**row, "url": row["url"] and redact(row["url"]).partition("?")[0]}
