"""What a run of vehicle_images left in the database and in the storage, to be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from runner.errors import Permanent
from runner.storage.folder import FolderStorage
from runner.storage.shard import TEMPORARY
from tests.bench.vehicles_pictures import digest
from tests.bench.vehicles_urls import Vehicle

Part = dict[str, Any]
"""One kind of thing by its key, as JSON."""

CHECKS = "select name, detail from backfill.vehicle_images_checks where not ok"

SHOWN = 5
LONGEST = 200
"""Differences of a part, and characters of a value, that are shown."""

QUERIES = {
    "images": """
        select vehicle_id || ' ' || coalesce(file_hash, '') as key,
               to_jsonb(i) - '{id,created_at,updated_at}'::text[] as value
          from vehicle_images i""",
    "marks": """
        select id::text as key, origin_metadata - 'images_backfilled_at' as value from vehicles""",
    "primary images": "select id::text as key, to_jsonb(primary_image_url) as value from vehicles",
    "URLs": """
        select vehicle || ' ' || position as key,
               jsonb_build_object('url', url, 'state', state) as value
          from backfill.vehicle_url""",
    "jobs": """
        select key, to_jsonb(state) as value from backfill.job where task = 'vehicle_images'""",
    # whether an object is new or an attempt was needed depends on who was killed
    "figures": """
        select replace(name, 'deduplicated', 'objects') || ' ' || label as key,
               to_jsonb(sum(amount)) as value
          from backfill.run_figures where name <> 'tried again' group by 1""",
}
"""Everything that has to be the same, without what depends on when it was done."""


@dataclass(frozen=True)
class End:
    """`parts` and the objects of rows are to be the same at all ends.

    `objects` are paths in the storage, `orphans` those of them that no row has, `left` is how many
    half-written files killed writers left, `problems` what is wrong with this end by itself.
    """

    parts: Mapping[str, Part]
    objects: frozenset[str]
    orphans: tuple[str, ...]
    left: int
    problems: tuple[str, ...]

    def checksums(self) -> dict[str, str]:
        """SHA-256 of each part, and of the objects that rows have."""
        kept: Part = dict.fromkeys(self.objects.difference(self.orphans))
        return {name: _checksum(part) for name, part in {**self.parts, "objects": kept}.items()}


def look(url: str, folder: Path) -> End:
    """What there is now; every object is read and checked against its name."""
    parts: dict[str, Part] = {}
    problems = []
    with psycopg.connect(url) as connection:
        for name, query in QUERIES.items():
            rows = connection.execute(query.encode()).fetchall()
            parts[name] = dict(rows)
            if len(parts[name]) != len(rows):
                raise RuntimeError(f"{name}: keys that are there twice")
        checks = connection.execute(CHECKS.encode()).fetchall()
        problems += [f"not so: {name}: {detail}" for name, detail in checks]
    with FolderStorage(folder, create=True) as storage:
        objects = frozenset(listed.path for listed in storage.list())
        for path in sorted(objects):
            try:
                storage.read(path).close()
            except Permanent as error:
                problems.append(f"object {path}: {error}")
    left = sum(1 for _ in folder.rglob(f".*{TEMPORARY}"))
    referred = {row["storage_path"] for row in parts["images"].values()}
    problems += [f"a row without its object: {path}" for path in sorted(referred - objects)]
    return End(parts, objects, tuple(sorted(objects - referred)), left, tuple(problems))


def expected(end: End, vehicles: Iterable[Vehicle]) -> Iterator[str]:
    """What is not as the vehicles' URLs say: contents that lack, and contents that are too many.

    A picture cut short in a way that its bytes don't tell is left out of account.
    """
    found: dict[str, set[str]] = {}
    for row in end.parts["images"].values():
        found.setdefault(row["vehicle_id"], set()).add(row["file_hash"])
    for vehicle in vehicles:
        digests = {digest(content) for content in vehicle.contents}
        there = found.pop(str(vehicle.id), set())
        doubtful = sum(place.kind == "short" for place in vehicle.places)
        for lacking in sorted(digests - there):
            places = [p for p in vehicle.places if p.good and digest(p.content) == lacking]
            yield f"vehicle {vehicle.id} lacks {places[0].value}"
        if len(there - digests) > doubtful:
            yield f"vehicle {vehicle.id} has {len(there - digests)} files that it should not have"
    yield from (f"images of an unknown vehicle: {key}" for key in found)


def differences(one: End, other: End) -> Iterator[str]:
    """What is not the same, the first few of each part."""
    for name, part in one.parts.items():
        against = other.parts[name]
        keys = sorted(k for k in part.keys() | against.keys() if part.get(k) != against.get(k))
        for key in keys[:SHOWN]:
            yield f"{name}, {key}: {_unlike(part.get(key), against.get(key))}"
        if len(keys) > SHOWN:
            yield f"{name}: {len(keys) - SHOWN} more"
    kept = one.objects.difference(one.orphans) ^ other.objects.difference(other.orphans)
    if kept:
        yield f"objects: {len(kept)} that only one has, such as {min(kept)}"


def _unlike(one: Any, other: Any) -> str:
    """Both values, or of objects the fields that are not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        fields = sorted(f for f in one.keys() | other.keys() if one.get(f) != other.get(f))
        one, other = ({f: value.get(f) for f in fields} for value in (one, other))
    return f"{str(one)[:LONGEST]} / {str(other)[:LONGEST]}"


def _checksum(part: Part) -> str:
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]
