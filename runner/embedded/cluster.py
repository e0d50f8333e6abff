"""The files of one server: its folder, initdb, configuration and log."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runner.embedded.account import Account
from runner.embedded.binaries import Binaries
from runner.embedded.places import own_folder
from runner.errors import BackfillError, UsageError

LOG_SIZE_MAX = 5_000_000
# Whoever reaches the socket is let in: its folder is closed to all but the server's account.
_HBA = "local all all trust\nlocal replication all trust\n"
_COMPLAINT = re.compile(
    r"(?:WARNING|ERROR|FATAL|PANIC): +(?P<said>.*)"
    r"|LOG: +(?P<cause>.*(?:could not|invalid|unrecognized).*)"
    r"|^initdb: error: (?P<initdb>.*)"
)


class Cluster:
    """The folder `home`: `pgdata/` is PostgreSQL's, all else in it is ours."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.pgdata = home / "pgdata"
        self.log = home / "server.log"
        self.configuration = home / "server.conf"
        self.hba = home / "pg_hba.conf"

    @property
    def major(self) -> int | None:
        """The major version of PostgreSQL that made the data, None where there are none yet."""
        try:
            return int((self.pgdata / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            return None

    def prepare(self, account: Account) -> None:
        """Make the folder, or see that it is ours and that `account` can reach it."""
        if self.home.is_dir() and not self._is_ours():
            raise BackfillError(
                f"{self.home} holds other files: name an empty folder for the embedded server"
            )
        own_folder(self.home, 0o711 if account.switch else 0o700)
        if not account.can_enter(self.home):
            raise BackfillError(
                f"the account {account.name}, which postgresql runs as, can't enter {self.home}: "
                "name a folder that is not below a private one, such as one in /var/lib"
            )

    def _is_ours(self) -> bool:
        names = {path.name for path in self.home.iterdir()}
        # The lock comes first, the configuration next.
        return names <= {"lock"} or self.configuration.name in names

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One start or stop at a time, over all processes."""
        try:
            file = (self.home / "lock").open("a")
        except OSError as error:
            raise BackfillError(f"can't write to {self.home}: {error.strerror}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write the configuration; ALTER SYSTEM overrides it, as usual."""
        lines = ["include 'pgdata/postgresql.conf'"]
        for name, value in settings.items():
            if not re.fullmatch(r"[A-Za-z_][\w.]*", name) or "\n" in value or "\0" in value:
                raise UsageError(f"not a setting of postgresql: {name}")
            escaped = value.replace("\\", "\\\\").replace("'", "''")
            lines.append(f"{name} = '{escaped}'")
        for path, text in ((self.configuration, "\n".join(lines) + "\n"), (self.hba, _HBA)):
            path.write_text(text)
            path.chmod(0o644)

    def initialise(self, binaries: Binaries, account: Account, *, sync: bool) -> None:
        """Make the data folder with initdb: UTF-8, C locale, superuser `postgres`.

        It is made under another name first, so that an interrupted one is never taken for whole.
        """
        scratch = self.home / "pgdata.new"
        if scratch.exists():
            shutil.rmtree(scratch)
        scratch.mkdir(mode=0o700)
        account.give(scratch)
        command: list[str | Path] = [binaries.bindir / "initdb", "-D", scratch]
        command += ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        command += ["--no-instructions", *([] if sync else ["--no-sync"])]
        offset = self.log_size()
        with self.open_log() as log:
            code = account.popen(command, output=log).wait()
        if code != 0:
            raise BackfillError(
                f"initdb of postgresql {binaries.version} failed in {self.home}: "
                f"{self.complaint(offset)}; see {self.log}"
            )
        scratch.rename(self.pgdata)

    @contextmanager
    def open_log(self) -> Iterator[int]:
        """A descriptor that appends to the log, for the server to write to."""
        if self.log_size() > LOG_SIZE_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def log_size(self) -> int:
        """Bytes in the log, 0 where there is none."""
        return self.log.stat().st_size if self.log.exists() else 0

    def written_since(self, offset: int) -> str:
        """What was written to the log after `offset` bytes (all of it, where it is new)."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(offset if offset <= self.log_size() else 0)
            return file.read(1_000_000).decode(errors="replace")

    def complaint(self, offset: int) -> str:
        """What the log after `offset` says about why a program gave up, in one line."""
        lines = [line.strip() for line in self.written_since(offset).splitlines() if line.strip()]
        found = filter(None, map(_COMPLAINT.search, lines))
        said = dict.fromkeys(text for match in found for text in match.groups() if text)
        return "; ".join([*said][-3:] or lines[-1:]) or "it wrote nothing to its log"
