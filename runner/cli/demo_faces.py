"""The demo's second part: two albums, and one face in them that was given its name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from runner.cli.demo_running import connect, install, run
from runner.embedded import default_data_dir

TASK = "face_index"
NEEDS = ("dlib", "face_recognition_models")
WITHOUT = "without it face_index works with Amazon Rekognition, see docs/face-index.md"


def prepare(url: str) -> Sequence[Sequence[str]]:
    """Fill the albums and let one face be found and named; the commands that find the others.

    There are none where this machine can't do it: that is no failure of the demo.
    """
    from runner.demo import album

    folder = albums()
    with connect(url) as connection:
        pictures = album.load(connection, folder)
    click.echo(
        f"\nsample table public.assets: {pictures} pictures in the albums of "
        f"{' and '.join(album.USERS)}; {album.KNOWN_TO} knows {album.KNOWN} by name"
    )
    install(url, TASK, {})
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        click.echo(
            f"it can't be tried here: {missing[0]} is missing (pip install "
            f"'pgbackfill[faces-local]'); {WITHOUT}"
        )
        return ()
    options = ["--backend", "local", "--base-url", str(folder)]
    code = run(url, TASK, *options, "--where", f"url = '{album.PORTRAIT.path}'")
    if code:
        click.echo(f"it can't be tried here (this ended with {code}); {WITHOUT}")
        return ()
    with connect(url) as connection:
        if album.name_face(connection):
            click.echo(f"{album.KNOWN_TO} says that this is {album.KNOWN} (backfill.assign_face)")
    return (
        ["run", TASK, *options],
        ["faces", "review", "--html", "faces.html"],
    )


def albums() -> Path:
    """The folder of the albums' pictures; it goes with the embedded server's data."""
    return default_data_dir() / "albums"
