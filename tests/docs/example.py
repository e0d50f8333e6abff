"""Runs the examples of a page: its files, and its console blocks in one shell.

    python -m tests.docs.example docs/task-contract.md

writes what the commands print now into the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.embedded import find_binaries
from tests.docs.pages import Block, Page, read

_MARK = "-- end of command --"
_TIMES = (
    (re.compile(r"[\d.,]+ items a second"), "N items a second"),
    (re.compile(r"\b\d[\d.]* ?(ms|s)\b"), "N s"),
)

_PROGRESS = re.compile(r"\w+: [\d,]+/~?[\d,]+ \(")
"""A line that a run prints each ten seconds: on a slow machine only."""


@dataclass(frozen=True)
class Shown:
    """A command, and what it prints or is said to print."""

    command: str
    output: str

    def without_times(self) -> Shown:
        """With times made equal, since they never are, and without lines that depend on them."""
        lines = (line.rstrip() for line in self.output.splitlines() if line.strip())
        kept = (line for line in lines if not _PROGRESS.match(line))
        output = "\n".join(kept)
        for pattern, replacement in _TIMES:
            output = pattern.sub(replacement, output)
        return Shown(self.command, output)


def consoles(page: Page) -> list[Block]:
    """The page's console blocks."""
    return [block for block in page.blocks if block.language == "console"]


def promised(block: Block) -> list[Shown]:
    """The commands of a console block and what the page says they print."""
    shown: list[Shown] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            shown.append(Shown(line[2:], ""))
        else:
            shown[-1] = Shown(shown[-1].command, f"{shown[-1].output}{line}\n")
    return shown


def run(page: Page, url: str, folder: Path) -> list[list[Shown]]:
    """Write the page's files into the folder and run its console blocks; what each printed."""
    for block in page.blocks:
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
    script = "".join(
        f"{shown.command}\necho '{_MARK}'\n"
        for block in consoles(page)
        for shown in promised(block)
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=_environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = iter(done.stdout.split(f"{_MARK}\n"))
    return [
        [Shown(shown.command, next(printed, "")) for shown in promised(block)]
        for block in consoles(page)
    ]


def _environment(url: str) -> Mapping[str, str]:
    """This interpreter's commands first, psql of the embedded server last, our own settings out."""
    ours = ("BACKFILL_", "PG", "DATABASE_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    places = [
        str(Path(sys.executable).parent),
        os.environ.get("PATH", ""),
        *(str(found.bindir) for found in find_binaries()),
    ]
    return {
        **kept,
        "PATH": os.pathsep.join(places),
        "DATABASE_URL": url,
        "PGCLIENTENCODING": "utf8",
        # the example changes a module within a second and keeps its length
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "100",
    }


def record(path: Path) -> None:
    """Run the page's example on a new database and write what it prints into the page."""
    from tests.bench.chaos import fresh_database
    from tests.plugins.servers import any_server, open_folder

    page = read(path)
    with any_server(open_folder()) as server, tempfile.TemporaryDirectory() as folder:
        printed = run(page, fresh_database(server.url, "docs_example"), Path(folder))
    lines = page.text.splitlines(keepends=True)
    for block, shown in reversed(list(zip(consoles(page), printed, strict=True))):
        text = "\n".join(f"$ {one.command}\n{one.output.strip(chr(10))}" for one in shown)
        kept = [line.rstrip() for line in text.splitlines() if line.strip()]
        lines[block.first : block.last] = [line + "\n" for line in kept]
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]).resolve())
