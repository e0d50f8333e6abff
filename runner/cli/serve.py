"""`backfill serve`: the HTTP API and the console's pages."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
from collections.abc import Generator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import conninfo
from runner.cli.durations import Duration
from runner.errors import BackfillError, DatabaseUnreachable, ExitCode, UsageError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from runner.web.settings import Settings

log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Listen here."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True,
              help="0: one that is free.")  # fmt: skip
@click.option(
    "--behind-proxy",
    "proxies",
    metavar="ADDRESS",
    multiple=True,
    help="Believe what a proxy at this address or network says of who asks; may be repeated.",
)
@click.option("--secure-cookie", is_flag=True, help="Browsers reach it by https, through a proxy.")
@click.option(
    "--tls-cert", type=click.Path(path_type=Path), help="Certificate, to serve https itself."
)
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's key.")
@click.option(
    "--open-metrics", is_flag=True, help="Give /metrics to whoever asks, without a token."
)
@click.option("--connections", type=click.IntRange(1, 100), default=8, show_default=True,
              help="Most connections to the database.")  # fmt: skip
@click.option(
    "--pictures-base-url", metavar="URL", help="What relative addresses of pictures mean."
)
@click.option("--pictures-allow", metavar="NETWORKS", default="",
              help="Networks that pictures may come from, beside public ones.")  # fmt: skip
@click.option("--grace", type=Duration(), default="10s", show_default=True,
              help="How long to wait for requests in the works when stopped.")  # fmt: skip
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int,
    proxies: tuple[str, ...],
    secure_cookie: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    open_metrics: bool,
    connections: int,
    pictures_base_url: str | None,
    pictures_allow: str,
    grace: float,
) -> int:
    """Serve the console's pages and the HTTP API.

    Who asks needs a token; make one with: backfill token create NAME --role admin. As many servers
    as you like may serve one database; starting and stopping one changes nothing there.
    """
    from runner.web.app import create_app
    from runner.web.settings import Settings

    settings = Settings(
        conninfo=conninfo(ctx),
        connections=connections,
        secure_cookie=secure_cookie or tls_cert is not None,
        open_metrics=open_metrics,
        pictures_base_url=pictures_base_url,
        pictures_allow=pictures_allow,
    )
    tls = _tls(tls_cert, tls_key)
    _check_database(settings)
    with closing(_listen(host, port)) as listener:
        _say(listener, settings, tls=bool(tls))
        return _serve(create_app(settings), listener, proxies, grace, tls)


def _check_database(settings: Settings) -> None:
    """Tell at once of what would make every request fail."""
    from runner.database.session import Session
    from runner.web.database import NAME

    with Session(settings.conninfo, name=NAME, patience=0) as session:
        if not session.one("web_ready")["ready"]:
            raise BackfillError(
                "pgbackfill is not installed in this database, or an older one that can't be "
                "served; run: backfill migrate"
            )
        lacking = [r["role"] for r in session.call("web_roles") if not r["may"]]
    if lacking:
        raise BackfillError(
            f"this login may not act as {', '.join(lacking)}; "
            "as an administrator run: grant backfill_server to the login"
        )


def _tls(cert: Path | None, key: Path | None) -> dict[str, Any]:
    if cert is None and key is None:
        return {}
    if cert is None or key is None:
        raise UsageError("--tls-cert and --tls-key go together")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except OSError as error:
        raise UsageError(f"the certificate {cert} with key {key} can't be used: {error}") from error
    return {"ssl_certfile": str(cert), "ssl_keyfile": str(key)}


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OSError as error:
        raise BackfillError(
            f"can't listen on {host}, port {port}: {error.strerror or error}; "
            "choose others with --host and --port"
        ) from error


def _say(listener: socket.socket, settings: Settings, *, tls: bool) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"serving on {'https' if tls else 'http'}://{shown}:{port}", err=True)
    if not ip_address(host.partition("%")[0]).is_loopback and not settings.secure_cookie:
        log.warning(
            "tokens and cookies go over the network as they are; put a proxy with TLS before this "
            "server and pass --secure-cookie, or pass --tls-cert and --tls-key"
        )


def _serve(
    app: FastAPI,
    listener: socket.socket,
    proxies: tuple[str, ...],
    grace: float,
    tls: dict[str, Any],
) -> int:
    """Serve until told to stop; its exit code."""
    import uvicorn

    from runner.web.app import drain

    class Server(uvicorn.Server):
        """Ends with an exit code of its own: the library's would let the signal end the process."""

        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            before = {
                number: signal.signal(number, self.handle_exit)
                for number in (signal.SIGTERM, signal.SIGINT)
            }
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # the second time at once
            self.force_exit = self.should_exit
            self.should_exit = True

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            drain(app)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        timeout_graceful_shutdown=max(round(grace), 1),
        **tls,
    )
    server = Server(config)
    server.run(sockets=[listener])
    if not server.started:
        raise DatabaseUnreachable("the server could not start; see what it logged above")
    return ExitCode.DONE
