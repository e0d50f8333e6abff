"""face_index: collections, faces, people, links, needs view, apply functions, review.

Revision ID: face_index_0001
"""

from alembic import context, op

from runner.database.scripts import Binding, concurrent_index, render, run_script
from runner.faces.similarity import MIDPOINT, SLOPE

revision = "face_index_0001"
down_revision = None
branch_labels = ("face_index",)
depends_on = "engine_0007"

VERSION = 1
TASK = "face_index"

FOLDER = "tasks/face_index/0001"

NUMBERS = 128
"""Of an embedding of dlib's."""

TABLES = ("collections", "faces", "people", "links")

INDEXES = {
    # name: table, columns, whether it is unique
    "collections": ("collections", "(user_id)", True),
    "name": ("collections", "(aws_collection_id)", True),
    "faces": ("faces", "(user_id, rekognition_face_id)", True),
    "asset": ("faces", "(asset_id)", False),
    "review": (
        "faces",
        "(user_id) where needs_assignment and deleted is not true and skipped is not true",
        False,
    ),
    "links": ("links", "(face_id, person_group_id) where deleted is not true", True),
}
SUFFIXES = {
    "collections": "user_key", "name": "aws_collection_key", "faces": "user_face_key",
    "asset": "asset_idx", "review": "to_review_idx", "links": "live_pair_key",
}  # fmt: skip


def index_name(binding: Binding, index: str) -> str:
    """The name of one of `INDEXES`, within PostgreSQL's 63 bytes."""
    return f"{binding.short_name(INDEXES[index][0])}_{SUFFIXES[index]}"[:63]


def names() -> dict[str, object]:
    """The names that the scripts are written with, from the task's binding."""
    binding = Binding.of(TASK, context.config.attributes)
    columns: dict[str, object] = {
        "version": binding.literal(str(VERSION), raw=True),
        "binding": binding.as_literal(),
        "slope": binding.expression(repr(SLOPE), {}),
        "midpoint": binding.expression(repr(MIDPOINT), {}),
        "squares": binding.expression(squares(NUMBERS), {}),
        "first_squares": binding.expression(squares(NUMBERS // 2), {}),
        "table": binding.table("table"),
        "key": binding.column("key"),
        "key_type": binding.type_of("table", "key"),
        "user_id": binding.column("user_id"),
        "user_type": binding.type_of("table", "user_id"),
        "url": binding.column("url"),
        "arn": binding.column("arn"),
        "arn_literal": binding.literal(binding["arn"]),
        "embedding": binding.column("embedding"),
        "embedding_literal": binding.literal(binding["embedding"]),
        "table_name": binding.name_literal("table"),
        "face_type": id_type(binding, "faces"),
        "person_type": id_type(binding, "people"),
    }
    for name in TABLES:
        columns[name] = binding.table(name)
        columns[f"{name}_name"] = binding.name_literal(name)
        columns[f"{name}_pkey"] = binding.name(f"{binding.short_name(name)}_pkey")
        columns[f"{name}_schema"] = binding.schema(name)
        columns[f"{name}_schema_literal"] = binding.literal(
            render("{s}", {"s": binding.schema(name)})[1:-1].replace('""', '"')
        )
    for index in INDEXES:
        columns[f"{index}_index"] = binding.name(index_name(binding, index))
        columns[f"{index}_index_literal"] = binding.literal(index_name(binding, index))
    return columns | conditions(binding, columns)


def squares(numbers: int) -> str:
    """The squared distance of the first numbers of two embeddings."""
    apart = (f"(p_one[{i}] - p_other[{i}])" for i in range(1, numbers + 1))
    return " + ".join(f"{one} * {one}" for one in apart)


def conditions(binding: Binding, columns: dict[str, object]) -> dict[str, object]:
    """Which assets are pictures whose faces are looked for, and which are there at all."""
    needs, there = ["a.{url} is not null", "a.{user_id}::text <> ''"], ["true"]
    for name, condition in (
        ("mime_type", "a.{mime_type} like 'image/%'"),
        ("approved", "a.{approved}"),
    ):
        if binding.given(name):
            columns[name] = binding.column(name)
            needs.append(condition)
    if binding.given("deleted"):
        columns["deleted"] = binding.column("deleted")
        there = ["a.{deleted} is not true"]
        needs += there
    return {
        "needs_condition": binding.expression(" and ".join(needs), columns),
        "asset_is_there": binding.expression(" and ".join(there), columns),
    }


def id_type(binding: Binding, table: str) -> object:
    """The type of a table's column id: uuid where the table is made here.

    Without a database it is what `--set faces_type=` or `people_type=` says.
    """
    if context.is_offline_mode():
        return binding.type_of(table, table)
    if exists(binding, table):
        return Binding(TASK, {**binding, "id": "id"}).type_of(table, "id")
    return binding.expression("uuid", {})


def exists(binding: Binding, name: str) -> bool:
    """Whether the application has a table already."""
    connection = op.get_bind().connection.driver_connection
    table = render("{t}", {"t": binding.table(name)})
    row = connection.execute("select to_regclass(%s) is not null", [table]).fetchone()
    return bool(row[0])


def upgrade() -> None:
    """Each step leaves a state from which the upgrade can be run again."""
    binding = Binding.of(TASK, context.config.attributes)
    binding.check_columns("table", ("key", "user_id", "url", "mime_type", "approved", "deleted"))
    values = names()
    run_script(f"{FOLDER}/10_application.sql", values)
    with op.get_context().autocommit_block():
        for index, (table, on, unique) in INDEXES.items():
            concurrent_index(
                TASK, values[f"{table}_schema"], values[f"{index}_index"],
                f"on {{{table}}} {on}", values, unique=unique,
            )  # fmt: skip
    for script in ("20_faces", "30_compare", "40_binding", "50_review"):
        run_script(f"{FOLDER}/{script}.sql", values)


def downgrade() -> None:
    run_script(f"{FOLDER}/90_down.sql", names())
