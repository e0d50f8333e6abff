"""Starts, finds and stops one embedded PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import quote

from runner.embedded import binaries, places, postmaster
from runner.embedded.account import server_account
from runner.embedded.cluster import Cluster
from runner.embedded.guard import Guard
from runner.errors import BackfillError

THROWAWAY: Mapping[str, str] = MappingProxyType({"fsync": "off"})
"""Settings for data that nobody misses after the machine itself has crashed.

A server killed with SIGKILL still loses no commit. It would with synchronous_commit off, and
could tear a page with full_page_writes off.
"""

_NONE: Mapping[str, str] = MappingProxyType({})
_POLL_S = 0.01
_START_S = 60.0
_FAST_STOP_S = 30.0
_STOP_S = 10.0
# After a kill -9 of the server, its backends need a moment to notice and to let go of its memory.
_RETRY_S = 15.0
_RETRYABLE = ("pre-existing shared memory block", "already exists")

# Servers of this process that are meant to outlive it; kept so that they are reaped if they don't.
_outliving: list[subprocess.Popen[bytes]] = []


class EmbeddedServer:
    """A PostgreSQL server whose files are all in `data_dir`, listening on a Unix socket there.

    By default it ends with the process that started it. With `detached=True` it stays, and an
    `EmbeddedServer` made later, in any process, for the same folder finds it again.

    `bindir` chooses the binaries (default: what `find_binaries` prefers among those of the
    version that made the data). `settings` are settings of PostgreSQL, applied at each start.
    Methods raise BackfillError with one line for a user.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        bindir: Path | None = None,
        settings: Mapping[str, str] = _NONE,
        detached: bool = False,
    ) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self.detached = detached
        self._bindir = bindir
        self._settings = dict(settings)
        self._cluster = Cluster(self.data_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process id where it runs."""
        self._reap()
        try:
            return postmaster.running_pid(self._cluster.pgdata)
        except PermissionError as error:
            raise BackfillError(
                f"can't look into {self.data_dir}: run this as the user who owns it"
            ) from error

    @property
    def running(self) -> bool:
        """Whether a server runs on this folder, whoever started it."""
        return self.pid is not None

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._cluster.log

    @property
    def socket_dir(self) -> Path:
        """The folder of the server's socket: what libpq calls the host."""
        return places.noted_socket_dir(self.data_dir)

    def url(self, dbname: str = "postgres") -> str:
        """A libpq connection URL, for psql as for psycopg; it stays the same over restarts."""
        host = quote(str(self.socket_dir), safe="/")
        return f"postgresql://postgres@/{quote(dbname, safe='')}?host={host}&port=5432"

    def start(self) -> None:
        """Start the server, making its data first where there are none; return once it answers.

        Where it runs already nothing is done, settings included.
        """
        account = server_account()
        self._cluster.prepare(account)
        with self._cluster.locked():
            if self.running:
                return
            self._collect()
            chosen = binaries.usable_by(account, binaries.choose(self._bindir, self._cluster.major))
            self._cluster.configure(self._settings)
            if self._cluster.major is None:
                durable = self._settings.get("fsync", "on") != "off"
                self._cluster.initialise(chosen, account, sync=durable)
            sockets = places.socket_dir(self.data_dir, account)
            command = self._command(chosen.bindir / "postgres", sockets)
            deadline = time.monotonic() + _RETRY_S
            while (trouble := self._attempt(command)) is not None:
                if time.monotonic() > deadline or not any(t in trouble for t in _RETRYABLE):
                    raise BackfillError(
                        f"postgresql {chosen.version} did not start in {self.data_dir}: "
                        f"{trouble}; see {self.log_path}"
                    )
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server, whoever started it, cutting its connections; no-op where none runs."""
        if not self.running:
            self._collect()
            return
        with self._cluster.locked():
            self._end([(signal.SIGINT, _FAST_STOP_S), (signal.SIGQUIT, _STOP_S)])

    def kill(self) -> None:
        """SIGKILL the server, as a crash would; its backends end by themselves soon after."""
        self._end([])

    def restart(self) -> None:
        """Stop and start; what was committed is there again, connections are not."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop the server and delete all of its files."""
        self.stop()
        sockets = self.socket_dir
        for folder in {sockets, self.data_dir}:
            with suppress(FileNotFoundError):
                shutil.rmtree(folder)

    def _command(self, program: Path, sockets: Path) -> list[str]:
        # A list: unquoted, spaces and commas would mean something.
        directories = '"' + str(sockets).replace('"', '""') + '"'
        options = {
            "config_file": str(self._cluster.configuration),
            "hba_file": str(self._cluster.hba),
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": directories,
            "unix_socket_permissions": "0700",
        }
        command = [str(program), "-D", str(self._cluster.pgdata)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _attempt(self, command: list[str]) -> str | None:
        """Start once; return what went wrong, or None when the server answers."""
        self._clear_stale()
        offset = self._cluster.log_size()
        with self._cluster.open_log() as log:
            process = server_account().popen(command, output=log)
        try:
            if not self.detached:
                self._guard = Guard(process.pid)
            answers = self._await_ready(process)
        except BaseException:
            process.send_signal(signal.SIGQUIT)
            process.wait()
            self._dismiss_guard()
            raise
        if not answers:
            self._dismiss_guard()
            return self._cluster.complaint(offset)
        if self.detached:
            _outliving.append(process)
        self._process = process
        return None

    def _clear_stale(self) -> None:
        try:
            postmaster.disown(self._cluster.pgdata)
            # Only this server can have made them, and it does not run.
            for left in (places.SOCKET_NAME, f"{places.SOCKET_NAME}.lock"):
                (self.socket_dir / left).unlink(missing_ok=True)
        except OSError as error:
            raise BackfillError(f"can't clear up after the last server: {error}") from error

    def _await_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _START_S
        while process.poll() is None:
            written = postmaster.read_pid_file(self._cluster.pgdata)
            if written is not None and written.pid == process.pid and written.ready:
                return True
            if time.monotonic() > deadline:
                raise BackfillError(
                    f"postgresql in {self.data_dir} was not ready after {_START_S:.0f} s; "
                    f"see {self.log_path}"
                )
            time.sleep(_POLL_S)
        return False

    def _end(self, steps: list[tuple[signal.Signals, float]]) -> None:
        """Send each step's signal and wait for its seconds, then SIGKILL, until the server ends."""
        for signal_number, seconds in [*steps, (signal.SIGKILL, _STOP_S)]:
            pid = self.pid
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, signal_number)
            deadline = time.monotonic() + seconds
            while self.pid == pid and time.monotonic() < deadline:
                time.sleep(_POLL_S)
        self._collect()
        if self.running:
            raise BackfillError(f"postgresql in {self.data_dir} (pid {self.pid}) does not end")

    def _reap(self) -> None:
        for process in [*_outliving, self._process]:
            if process is not None and process.poll() is not None and process in _outliving:
                _outliving.remove(process)

    def _collect(self) -> None:
        """Wait out the last moments of a server of ours that no longer counts as running."""
        if self._process is not None and not self.running:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
        self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None
