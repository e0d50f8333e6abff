"""The second sample application: two users' albums, and somebody whom one of them knows by name.

The only face in scikit-image's photographs that a detector finds is the astronaut's, Eileen
Collins (NASA, public domain). Crops and other exposures of it stand for further photographs of her.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from PIL import Image, ImageDraw
from psycopg.types.json import Jsonb

from runner.database.files import sql_folder
from runner.demo import photographs
from runner.demo.application import NAMESPACE
from runner.demo.boxes import WHOLE, Box
from runner.demo.encode import jpeg
from runner.demo.photographs import Variant
from runner.errors import BackfillError, UsageError

TABLES = ("public.users", "public.assets", "public.person_groups")

LENSES = (Box(0.3625, 0.1862, 0.062, 0.0485), Box(0.4365, 0.1862, 0.062, 0.0485))
"""Over the astronaut's eyes, in shares of the photograph. With these, dlib finds her 83 to
87 % like herself: too little to be linked without asking, and enough to be asked about."""

DARK = (20, 20, 24)


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of an album: a variant of a photograph, perhaps with sunglasses drawn on."""

    user: str
    name: str
    photograph: str
    variant: Variant
    sunglasses: bool = False

    @property
    def path(self) -> str:
        """Its file, below the folder of the albums."""
        return f"{self.user.lower()}/{self.name}.jpg"

    @property
    def key(self) -> str:
        """The key of its row."""
        return _key(f"/album/{self.path}")

    def render(self) -> bytes:
        """Its file."""
        (photograph,) = (p for p in photographs.PHOTOGRAPHS if p.name == self.photograph)
        image = photographs.image(photograph, self.variant)
        if self.sunglasses:
            _put_on(image, self.variant.crop or WHOLE)
        return jpeg(image)


USERS = ("Ann", "Ben")
KNOWN_TO, KNOWN = "Ann", "Eileen"
"""Who knows whom by name."""

BUST = Box(0.1, 0.0, 0.8, 0.6)
FACE = Box(0.22, 0.04, 0.46, 0.46)
"""What is kept of the astronaut: on her suit the detector sees faces that are none."""

SHOTS = (
    Shot("Ann", "portrait", "astronaut", Variant("portrait", 480, crop=BUST)),
    Shot("Ann", "mirrored", "astronaut", Variant("mirrored", 440, crop=BUST, mirrored=True)),
    Shot("Ann", "evening", "astronaut", Variant("evening", 460, crop=BUST, brightness=40)),
    Shot("Ann", "close-up", "astronaut", Variant("close-up", 360, crop=FACE)),
    Shot("Ann", "sunglasses", "astronaut", Variant("sunglasses", 480, crop=BUST), sunglasses=True),
    Shot("Ann", "coffee", "coffee", Variant("coffee", 400)),
    Shot("Ann", "cat", "cat", Variant("cat", 360)),
    Shot("Ben", "visitor", "astronaut", Variant("visitor", 380, crop=FACE, gray=True)),
    Shot("Ben", "launch", "rocket", Variant("launch", 400)),
)
PORTRAIT = SHOTS[0]
"""Shows the known person alone."""


def load(connection: psycopg.Connection[Any], folder: Path) -> int:
    """Write the albums' files, and fill the application's tables; how many pictures there are.

    What is there already stays as it is. Raises `UsageError` where the database holds tables of
    these names that aren't the demo's, and `BackfillError` where files can't be written.
    """
    with connection.transaction():
        row = connection.execute(_statement("owner"), {"tables": list(TABLES)}).fetchone()
        if row is not None and tuple(row) == (True, False):
            raise UsageError(
                f"one of the tables {', '.join(TABLES)} of this database is not the demo's: "
                "use another database for the demo"
            )
        connection.execute(_statement("album"))
        connection.execute(_statement("insert_album"), _rows())
    _write(folder)
    return len(SHOTS)


def name_face(connection: psycopg.Connection[Any]) -> bool:
    """Say whose face the portrait shows, once it was found; whether there was one to name."""
    with connection.transaction():
        named = connection.execute(
            _statement("name_face"), {"asset": PORTRAIT.key, "person": _key(f"/people/{KNOWN}")}
        )
        return named.rowcount == 1


@cache
def _statement(name: str) -> bytes:
    return (sql_folder() / "demo" / f"{name}.sql").read_bytes()


def _key(name: str) -> str:
    return str(uuid.uuid5(NAMESPACE, name))


def _rows() -> dict[str, Jsonb]:
    def user(name: str) -> str:
        return _key(f"/users/{name}")

    users = [{"id": user(name), "name": name} for name in USERS]
    people = [{"id": _key(f"/people/{KNOWN}"), "user_id": user(KNOWN_TO), "name": KNOWN}]
    assets = [{"id": s.key, "user_id": user(s.user), "storage_url": s.path} for s in SHOTS]
    return {"users": Jsonb(users), "people": Jsonb(people), "assets": Jsonb(assets)}


def _write(folder: Path) -> None:
    for path, shot in _missing(folder):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(shot.render())
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise BackfillError(f"can't write the demo's picture {path}: {reason}") from error


def _missing(folder: Path) -> Iterator[tuple[Path, Shot]]:
    for shot in SHOTS:
        path = folder / shot.path
        if not path.is_file():
            yield path, shot


def _put_on(image: Image.Image, crop: Box) -> None:
    pen = ImageDraw.Draw(image)
    width, height = image.size
    seen = [lens for one in LENSES if (lens := one.within(crop)) is not None]
    for lens in seen:
        end, bottom = lens.x + lens.width, lens.y + lens.height
        pen.ellipse((lens.x * width, lens.y * height, end * width, bottom * height), fill=DARK)
    left, right = seen
    bridge = (left.y + left.height / 3) * height
    ends = (left.x + left.width) * width, right.x * width
    pen.line((ends[0], bridge, ends[1], bridge), fill=DARK, width=max(1, round(width / 128)))
