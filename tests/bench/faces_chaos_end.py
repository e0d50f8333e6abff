"""What a run of face_index left in the database, and what the provider holds and has charged."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row

from tests.rekognition.remote import Remote

CHECKS = "select name, detail from backfill.face_index_checks where not ok"
UNSETTLED = """
select e.operation, e.key, e.reason from backfill.effects e
 where e.state = 'intended'
    or not exists (select from backfill.job j
                    where j.task = e.task and j.key = e.key and j.state = 'failed')"""
"""What was charged for a picture that was refused afterwards stays on view, as charged."""

JOBS = "select key, state, error_class from backfill.job where task = 'face_index'"
FIGURES = """
select name || ' ' || label as name, sum(amount) as amount from backfill.run_figures
 where label = '' group by 1"""

ROWS = """
select coalesce(c.aws_collection_id, '') as collection, f.rekognition_face_id as face_id,
       f.asset_id::text as asset, s.decision, f.needs_assignment, f.auto_assigned,
       array(select l.person_group_id::text from face_person_links l
              where l.face_id = f.id and not l.deleted order by 1) as linked,
       array(select x.value ->> 'person' from backfill.faces_to_review r
              cross join jsonb_array_elements(r.suggestions) with ordinality as x
              where r.face = f.id order by x.ordinality) as suggested
  from faces f
  left join face_collections c on c.user_id = f.user_id
  left join backfill.face_state s on s.face = f.id
 where not f.deleted"""

PAID = """
select s.operation, coalesce(s.payer, '') as payer, sum(s.calls)::int as calls, sum(s.usd) as usd,
       (select count(*) from backfill.effect e where (e.assumed or e.state = 'answered')
           and e.operation = s.operation and e.payer = coalesce(s.payer, '')) as assumed
  from backfill.spend s where s.task = 'face_index' and s.calls > 0 group by s.operation, s.payer"""


@dataclass(frozen=True, slots=True)
class FaceRow:
    """A row of `faces`, and what was decided about it; `linked` and `suggested` are people."""

    collection: str
    face_id: str
    asset: str
    decision: str | None
    needs_assignment: bool
    auto_assigned: bool
    linked: list[str]
    suggested: list[str]


@dataclass(frozen=True, slots=True)
class Paid:
    """Calls of an operation for a payer that are in the books, and how many of them are assumed."""

    operation: str
    payer: str
    calls: int
    usd: Decimal
    assumed: int


@dataclass(frozen=True)
class End:
    """`jobs`: state and class of the error by key. `state` is the service's, see `Remote`."""

    jobs: Mapping[str, tuple[str, str | None]]
    rows: tuple[FaceRow, ...]
    figures: Mapping[str, int]
    paid: tuple[Paid, ...]
    unsettled: tuple[str, ...]
    not_so: tuple[str, ...]
    state: Mapping[str, Any]
    arrivals: tuple[float, ...]

    @property
    def faces(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Those that the service holds, by collection and id."""
        return {
            (collection, face["FaceId"]): face
            for collection, faces in self.state["collections"].items()
            for face in faces
        }

    @property
    def billed(self) -> Counter[str]:
        """How often each picture was charged."""
        return Counter(self.state["billed_pictures"])

    def calls(self, operation: str) -> Mapping[str, Any]:
        """The service's numbers of an operation."""
        found: Mapping[str, Any] = self.state["calls"].get(operation, {})
        return found

    def checksums(self) -> dict[str, str]:
        """SHA-256 of what has to be the same whoever was killed."""
        rows = [
            [r.collection, r.face_id, r.asset, r.decision, r.needs_assignment, r.auto_assigned,
             r.linked, r.suggested]
            for r in self.rows
        ]  # fmt: skip
        parts: dict[str, Any] = {"jobs": self.jobs, "faces": sorted(rows), "figures": self.figures}
        return {name: _checksum(part) for name, part in parts.items()}


def look(url: str, service: Remote, since: float) -> End:
    """What there is now; arrivals from that monotonic second on."""
    with psycopg.connect(url) as connection:
        return End(
            jobs={key: (state, word) for key, state, word in connection.execute(JOBS)},
            rows=tuple(connection.cursor(row_factory=class_row(FaceRow)).execute(ROWS)),
            figures={name.strip(): int(n) for name, n in connection.execute(FIGURES)},
            paid=tuple(connection.cursor(row_factory=class_row(Paid)).execute(PAID)),
            unsettled=tuple(" ".join(row) for row in connection.execute(UNSETTLED)),
            not_so=tuple(": ".join(row) for row in connection.execute(CHECKS)),
            state=service.state(),
            arrivals=arrivals(service, since),
        )  # fmt: skip


def arrivals(service: Remote, since: float) -> tuple[float, ...]:
    """When calls of any operation arrived, in order, from that monotonic second on."""
    times = (time for one in service.arrivals().values() for time in one["arrived"])
    return tuple(sorted(time for time in times if time >= since))


def _checksum(part: Any) -> str:
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16]
