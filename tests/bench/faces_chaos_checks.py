"""What has to be true at the end of a run of face_index, however many processes were killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tests.bench.faces_chaos_end import End, FaceRow
from tests.bench.faces_chaos_tables import collection, person_id
from tests.bench.faces_chaos_world import Asset, World
from tests.rekognition.ledger import most_in_any_second

PRICE = Decimal("0.001")
QUOTA_SHARE = 1.02
"""No second sees more than the rate and 2 % (docs/decisions/shared-rate.md)."""

SHOWN = 5


@dataclass(frozen=True)
class Expected:
    """What has to come of a world whose pictures `refused` the service will not have.

    `refused` has the class of the error by the asset's key.
    """

    world: World
    refused: Mapping[str, str]

    def problems(self, end: End) -> Iterator[str]:
        """All that is wrong with an end, however it came about."""
        yield from few("not finished as it should be", self._jobs(end))
        yield from few("faces", self._faces(end))
        yield from few("rows and collections", _held(end))
        yield from few("figures", self._figures(end))
        yield from (f"not so: {check}" for check in end.not_so)
        yield from few("an unsettled effect", iter(end.unsettled))
        yield from few("books", self._books(end))

    def _done(self) -> Iterator[Asset]:
        return (asset for asset in self.world.assets if str(asset.id) not in self.refused)

    def _jobs(self, end: End) -> Iterator[str]:
        wanted: dict[str, tuple[str, str | None]] = {
            str(asset.id): (asset.state, None) for asset in self._done()
        }
        wanted |= {key: ("failed", word) for key, word in self.refused.items()}
        for key in sorted(wanted.keys() | end.jobs.keys()):
            found, want = end.jobs.get(key), wanted.get(key)
            # a row in which nothing is found has a word for that
            if want is None or found is None or found[0] != want[0] or (want[1] and found != want):
                yield f"{key} is {found}, should be {want}"

    def _faces(self, end: End) -> Iterator[str]:
        """Each face of each picture once, and whom it was linked to or may be."""
        held = end.faces
        found: dict[tuple[str, int, int], list[FaceRow]] = {}
        for row in end.rows:
            there = held.get((row.collection, row.face_id), {"person": -1, "variation": -1})
            found.setdefault((row.asset, there["person"], there["variation"]), []).append(row)
        for user in self.world.users:
            if user.knows:
                for face in user.known.faces:
                    key = (str(user.known.id), user.person(face.person), face.variation)
                    yield from _known(found.pop(key, []), str(person_id(user, face.person)))
        for asset in self._done():
            for (person, variation), (kind, meant) in asset.decisions.items():
                whom = None if meant is None else str(person_id(asset.user, meant))
                key = (str(asset.id), asset.user.person(person), variation)
                yield from _decided(found.pop(key, []), asset, kind, whom)
        yield from (f"{key} should not be there: {rows}" for key, rows in found.items())

    def _figures(self, end: End) -> Iterator[str]:
        """Counted once each: in the transactions of results, so a row done twice would show."""
        kinds = Counter(kind for asset in self._done() for kind, _ in asset.decisions.values())
        wanted = {
            "pictures": sum(1 for _ in self._done()),
            "faces found": kinds.total(),
            "assigned": kinds["assign"],
            "to review": kinds["suggest"] + kinds["unknown"],
        }
        for name, amount in wanted.items():
            if end.figures.get(name, 0) != amount:
                yield f"{end.figures.get(name, 0)} {name}, should be {amount}"

    def _books(self, end: End) -> Iterator[str]:
        """Whatever was charged is in the books. What else is there is marked as assumed, was for a
        picture that was refused afterwards, or is the picture of a call that failed after its
        effect: it is held, so it looks as if it was paid.
        """
        users = {str(asset.id): str(asset.user.id) for asset in self.world.assets}
        charged = self._charged(end)
        yield from (f"{key} was charged and is nobody's" for key in charged if key not in users)
        of_user, unpaid = Counter[str](), Counter[str]()
        for key, times in charged.items():
            of_user[users.get(key, "")] += times
        for asset in self._done():
            unpaid[str(asset.user.id)] += asset.held and not charged[str(asset.id)]
        indexed = {paid.payer: paid for paid in end.paid if paid.operation == "IndexFaces"}
        for user in sorted(of_user.keys() | indexed.keys()):
            booked = (indexed[user].calls, indexed[user].assumed) if user in indexed else (0, 0)
            yield from _within(f"IndexFaces of {user}", of_user[user], *booked, unpaid[user])
        searched = [paid for paid in end.paid if paid.operation == "SearchFaces"]
        booked = (sum(paid.calls for paid in searched), sum(paid.assumed for paid in searched))
        yield from _within("SearchFaces", end.calls("SearchFaces").get("billed", 0), *booked, 0)
        for paid in end.paid:
            if paid.usd != paid.calls * PRICE:
                yield f"{paid.calls} calls of {paid.operation} cost {paid.usd}"

    def _charged(self, end: End) -> Counter[str]:
        """Of each picture, without those that were indexed beforehand."""
        known = {str(user.known.id) for user in self.world.users if user.knows}
        return Counter({key: n for key, n in end.billed.items() if key not in known})

    def again(self, end: End) -> tuple[int, int]:
        """Charges beyond one for each asset: of those with faces in the collection, and without."""
        held = {str(asset.id) for asset in self.world.assets if asset.held}
        more = Counter[bool]()
        for key, times in self._charged(end).items():
            more[key in held] += times - 1
        return more[True], more[False]


def quota(end: End, most: float) -> Iterator[str]:
    """All calls together, whatever they were for, as they arrived."""
    fullest = most_in_any_second(end.arrivals)
    if fullest > most * QUOTA_SHARE:
        yield f"{fullest} calls in a second, {most:g} were agreed"


def few(what: str, problems: Iterator[str]) -> Iterator[str]:
    """The first few of a kind, and how many more there are."""
    found = list(problems)
    yield from (f"{what}: {problem}" for problem in found[:SHOWN])
    if len(found) > SHOWN:
        yield f"{what}: {len(found) - SHOWN} more"


def _held(end: End) -> Iterator[str]:
    rows = Counter((row.collection, row.face_id) for row in end.rows)
    held = end.faces
    for key in sorted(rows.keys() | held.keys()):
        if rows[key] != 1 or key not in held:
            yield f"{key}: {rows[key]} rows, {'in' if key in held else 'not in'} the collection"
    pictures = {(row.collection, row.face_id): row.asset for row in end.rows}
    for key, face in held.items():
        if pictures.get(key) not in (None, face["ExternalImageId"]):
            yield f"{key} is of {face['ExternalImageId']}, its row says {pictures[key]}"


def _known(rows: list[FaceRow], whom: str) -> Iterator[str]:
    """A face that a user linked stays as it is."""
    if [(row.linked, row.auto_assigned) for row in rows] != [([whom], False)]:
        yield f"the face of {whom} that was linked by hand: {rows}"


def _decided(rows: list[FaceRow], asset: Asset, kind: str, whom: str | None) -> Iterator[str]:
    place = f"{collection(asset.user)} {asset.id}"
    if len(rows) != 1:
        yield f"{place}: a face has {len(rows)} rows"
        return
    (row,) = rows
    linked = [whom] if kind == "assign" else []
    first = whom if kind == "suggest" else None
    if row.decision != kind or row.linked != linked or row.auto_assigned != (kind == "assign"):
        yield f"{place}: {row} should be {kind} {whom}"
    if row.needs_assignment != (kind != "assign") or next(iter(row.suggested), None) != first:
        yield f"{place}: {row} should be {kind} {whom}"


def _within(what: str, charged: int, booked: int, assumed: int, unpaid: int) -> Iterator[str]:
    if not charged <= booked <= charged + assumed + unpaid:
        yield (
            f"{what}: {charged} were charged, {booked} are booked: {assumed} are assumed, "
            f"{unpaid} pictures are held that were not charged"
        )
