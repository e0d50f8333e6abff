"""Run the service as a process; it prints its port, and serves until it is ended.

python -m tests.rekognition [--port 0] [--settings '{"tps": {"*": 50}}'] [--with-parent]
"""

from __future__ import annotations

import argparse
import json
import os

from tests.rekognition.server import RekognitionServer
from tests.rekognition.settings import Settings


class Process(RekognitionServer):
    """A server that may end with the process that started it."""

    parent: int | None = None

    def service_actions(self) -> None:
        """Called twice a second. Without it a killed test would leave a server behind."""
        if self.parent is not None and os.getppid() != self.parent:
            raise SystemExit(0)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.rekognition")
    parser.add_argument("--port", type=int, default=0, help="port on loopback; 0: any")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, see settings.py")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent ends")
    options = parser.parse_args()
    server = Process(Settings().changed(options.settings), options.port)
    server.parent = os.getppid() if options.with_parent else None
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
