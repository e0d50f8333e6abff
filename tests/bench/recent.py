"""What keeping the last rows of a process costs finish(): with it against without, in turns.

    python -m tests.bench.recent [--rows 20000] [--groups 1 20 100 500]

Both functions stand in the same database: the engine's own, and the one of revision 6 under another
name. A group is claimed, and finished by one of the two, then the next by the other; only the calls
of finish are timed, in the client. One process, one column written to the target for each row.
"""

from __future__ import annotations

import argparse
import statistics
import time

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from runner.database import migrate
from runner.database.files import sql_folder
from runner.embedded import EmbeddedServer
from tests.bench.chaos import fresh_database
from tests.bench.throughput import OURS, TARGET
from tests.plugins.engine import Connection, Row
from tests.plugins.servers import open_folder

BEFORE = "finish_without_recent"


def _install_before(connection: Connection) -> None:
    text = (sql_folder() / "engine/0006/50_finish.sql").read_text(encoding="utf-8")
    begin = text.index("create or replace function backfill.finish(")
    end = text.index("end $$;", begin) + len("end $$;")
    body = text[begin:end].replace("backfill.finish(", f"backfill.{BEFORE}(", 1)
    connection.execute(body.replace("finish.", f"{BEFORE}.").encode())


def _outcome(job: Row) -> Row:
    return {
        "id": job["id"], "attempt": job["attempt"], "outcome": "ok", "revision": None,
        "result": {"value": 1}, "counts": True, "ms": 1, "spend": 0,
    }  # fmt: skip


def _finish(connection: Connection, function: str, runner: int, jobs: list[Row]) -> float:
    """Seconds that the call took."""
    results = Jsonb([_outcome(job) for job in jobs])
    begin = time.perf_counter()
    connection.execute(f"select * from backfill.{function}(%s, %s)".encode(), [runner, results])
    return time.perf_counter() - begin


def contest(connection: Connection, rows: int, group: int) -> tuple[list[float], list[float]]:
    """Seconds of each call with groups of this size: with recent rows, and without."""
    connection.execute(TARGET.format(rows=rows).encode())
    connection.execute(OURS.encode())
    (run,) = connection.execute("select backfill.start('noop') as run").fetchall()
    (joined,) = connection.execute(
        "select backfill.join_run(%s, 1, 'bench', 1, false) as runner", [run["run"]]
    ).fetchall()
    runner = joined["runner"]
    took: tuple[list[float], list[float]] = ([], [])
    after = 0
    while True:
        (claim,) = connection.execute(
            "select * from backfill.claim(%s, %s, %s)", [runner, group, after]
        ).fetchall()
        if claim["status"] != "jobs":
            found = connection.execute(
                "select * from backfill.discover(%s, 5000)", [run["run"]]
            ).fetchall()
            if found[0]["state"] == "open":
                continue
            return took
        after = max(job["id"] for job in claim["jobs"])
        turn = (len(took[0]) + len(took[1])) % 2
        took[turn].append(
            _finish(connection, ("finish", BEFORE)[turn], runner, list(claim["jobs"]))
        )


def main() -> None:
    """Print a line for each size of a group."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 20, 100, 500])
    options = parser.parse_args()
    with EmbeddedServer(open_folder() / "bench", settings={"max_wal_size": "4GB"}) as server:
        url = fresh_database(server.url(), "recent")
        migrate.upgrade(url, [], {})
        with psycopg.connect(
            url, autocommit=True, prepare_threshold=None, row_factory=dict_row
        ) as connection:
            _install_before(connection)
            print("group  calls  with   without  ratio of the medians")
            for group in options.groups:
                kept, plain = contest(connection, min(options.rows, group * 400), group)
                one, other = statistics.median(kept), statistics.median(plain)
                print(
                    f"{group:5}  {len(kept):5}  {one * 1000:5.2f}  {other * 1000:5.2f} ms"
                    f"  {one / other:.3f}"
                )


if __name__ == "__main__":
    main()
