"""What `backfill duplicates` shows, read in one READ ONLY transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import application_name, conninfo
from runner.cli.duplicates_groups import Group, Link, Pair, groups
from runner.errors import UsageError
from runner.redaction import redact

if TYPE_CHECKING:
    from runner.database.session import Connection

KINDS = ("duplicate", "review", "not_duplicate")
"""Of a pair: found or confirmed, for a person to judge, or refuted by one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; `grouped` counts `limit` in groups instead of pairs."""

    grouped: bool = False
    review: bool = False
    marked: bool = False
    payment: str | None = None
    since: datetime | None = None
    limit: int = 50

    def shows(self, link: Link) -> bool:
        """Whether pairs of this kind are shown."""
        return {"review": self.review, "not_duplicate": self.marked}.get(link.kind, True)

    def asks_for(self, link: Link) -> bool:
        """Whether this pair is of the payment and from the time asked for."""
        if self.since is not None and (link.submitted_at is None or link.submitted_at < self.since):
            return False
        return self.payment is None or self.payment in link.pair


@dataclass(frozen=True, slots=True)
class Found:
    """Pairs as rows of `backfill.duplicates`, newest first, and the groups they belong to.

    `source` names the database and the time (`read_at`). `counts` are pairs of each kind, and the
    `pairs` and `groups` that there would be without a limit. `payment` is how far the analysis of
    the payment asked for is, where it is like no other.
    """

    wanted: Wanted
    source: Mapping[str, Any]
    counts: Mapping[str, int]
    pairs: Sequence[Mapping[str, Any]]
    groups: Sequence[Group]
    payment: Mapping[str, Any] | None

    def document(self) -> dict[str, Any]:
        """All of it in JSON's types, but for times and decimals."""
        return {
            **self.source,
            "wanted": asdict(self.wanted),
            "counts": self.counts,
            "pairs": [_without_queries(pair) for pair in self.pairs],
            "groups": [
                {"members": [asdict(member) for member in group.members], "pairs": group.pairs}
                for group in self.groups
            ],
        }


def _without_queries(pair: Mapping[str, Any]) -> dict[str, Any]:
    """A pair whose addresses end before the query string, which may hold a signature."""
    urls = {name: pair[name] for name in ("image_url", "first_image_url")}
    return {**pair, **{name: url and redact(url).partition("?")[0] for name, url in urls.items()}}


@contextmanager
def snapshot(ctx: click.Context) -> Iterator[Connection]:
    """A READ ONLY transaction, so that pairs, numbers and pictures fit together."""
    from runner.database.session import connect

    with connect(conninfo(ctx), name=application_name(ctx), autocommit=False) as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        yield connection


def find(connection: Connection, wanted: Wanted) -> Found:
    """What was asked for. Raises `UsageError` for a payment that the task has not seen."""
    (source,) = _read(connection, "duplicate_source")
    # A group is shown whole, so what it is asked for by must not take it apart.
    payment, since = (None, None) if wanted.grouped else (wanted.payment, wanted.since)
    rows = _read(connection, "duplicate_links", payment=payment, since=since)
    every = [Link(**row) for row in rows]
    links = [link for link in every if wanted.shows(link)]
    every_group = groups(links)
    if wanted.grouped:
        every_group = [group for group in every_group if _fits(group, wanted)]
        shown = every_group[: wanted.limit]
        chosen = [pair for group in shown for pair in group.pairs]
    else:
        chosen = [link.pair for link in links[: wanted.limit]]
        payments = {payment for pair in chosen for payment in pair}
        shown = [g for g in every_group if any(m.payment in payments for m in g.members)]
    state = None
    if wanted.payment is not None and not every_group:
        state = _analysis(connection, wanted.payment)
    counts = _counts(filter(wanted.asks_for, every), every_group)
    return Found(wanted, source, counts, _details(connection, chosen), shown, state)


def thumbnails(connection: Connection, pictures: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
    """Of each picture (generation, SHA-256) that is kept: `generation`, `picture`, `width`,
    `height` (pixels of the original) and `thumbnail` (WebP).
    """
    generations = [generation for generation, _ in pictures]
    hashes = [sha256 for _, sha256 in pictures]
    return _read(connection, "duplicate_pictures", generations=generations, pictures=hashes)


def _counts(links: Iterable[Link], every_group: Sequence[Group]) -> dict[str, int]:
    kinds = Counter(link.kind for link in links)
    return {
        **{kind: kinds[kind] for kind in KINDS},
        "pairs": sum(len(group.pairs) for group in every_group),
        "groups": len(every_group),
    }


def _fits(group: Group, wanted: Wanted) -> bool:
    if wanted.since is not None and (group.latest is None or group.latest < wanted.since):
        return False
    return wanted.payment is None or any(m.payment == wanted.payment for m in group.members)


def _details(connection: Connection, chosen: Sequence[Pair]) -> list[dict[str, Any]]:
    payments = [payment for payment, _ in chosen]
    others = [other for _, other in chosen]
    return _read(connection, "duplicates", payments=payments, others=others)


def _analysis(connection: Connection, payment: str) -> dict[str, Any]:
    rows = _read(connection, "duplicate_analysis", payment=payment)
    if not rows:
        raise UsageError(
            f"image_signals has not seen a payment {payment!r}; check its key, "
            "or look for new payments with: backfill run image_signals"
        )
    return rows[0]


def _read(connection: Connection, name: str, **parameters: Any) -> list[dict[str, Any]]:
    from runner.database.files import statement

    return connection.execute(statement(name), parameters).fetchall()
