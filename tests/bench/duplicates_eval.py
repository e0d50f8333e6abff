"""Does the comparison find copies, and only copies? Figures of docs/decisions/duplicates-*.

    python -m tests.bench.duplicates_eval                    all of it, about 15 minutes
    python -m tests.bench.duplicates_eval --sets random      apps that are made up from seeds
    python -m tests.bench.duplicates_eval --sets developed   those it was developed on
    python -m tests.bench.duplicates_eval --folder PATH      a picture (first by name), its edits

Receipts and copies are drawn, encoded and decoded again, like screenshots that are sent. Exits
with 1 if recall is below 99 %, or more than 1 pair in 10,000 is falsely called a copy.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np

from runner.pictures import decode
from runner.similarity import RADIUS, Comparison, Fingerprint, compare, fingerprint, nearest, rank
from tests.bench.receipts import (
    Receipt,
    any_receipt,
    next_month,
    other_bar,
    other_character,
    other_digit,
)
from tests.bench.receipts_apps import DEVELOPED
from tests.bench.receipts_apps_random import ODD_SCREENS
from tests.bench.receipts_apps_unseen import UNSEEN
from tests.bench.receipts_edits import KINDS, edited, encode
from tests.bench.receipts_phones import PHONES, Phone

ONE_APP = "night"
LEAST_RECALL, MOST_FALSE = 0.99, 1 / 10_000
VARIANTS: dict[str, Callable[[Receipt, str], Receipt]] = {
    "same amount, a month later": next_month,
    "one digit of the amount": other_digit,
    "one digit of the small reference": other_character,
    "opened again (other status bar)": other_bar,
}
DEPTHS = (1, 5, 10, 20, 50)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known:
    """A receipt, its fingerprint, and that of one copy with this kind of edit."""

    receipt: Receipt
    original: Fingerprint
    kind: str
    copy: Fingerprint | None


@dataclass(slots=True)
class Evaluation:
    """What has been counted: verdicts and lowest percentage by group, milliseconds by step."""

    verdicts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    percentages: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    steps: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def timed(self, step: str, work: Callable[[], T]) -> T:
        """The result of `work`; CPU time of this thread."""
        began = time.thread_time()
        result = work()
        self.steps[step].append(1000 * (time.thread_time() - began))
        return result

    def print_of(self, data: bytes) -> Fingerprint:
        """The fingerprint of a file."""
        picture = self.timed("decode", lambda: decode(data))
        return self.timed("fingerprint", lambda: fingerprint(picture))

    def compared(self, group: str, step: str, a: Fingerprint, b: Fingerprint) -> Comparison:
        """The comparison, counted under `group` and timed under `step`."""
        found = self.timed(step, lambda: compare(a, b))
        self.verdicts[group][found.verdict] += 1
        self.percentages[group].append(found.percentage)
        return found


def known(run: Evaluation, receipts: Sequence[Receipt], share: int) -> list[Known]:
    """Originals as PNG or good JPEG, one in `share` with a copy, the kinds of edit in turn."""
    kinds = list(KINDS)
    result = []
    for i, receipt in enumerate(receipts):
        image = receipt.draw()
        original = encode(image, "PNG") if i % 2 else encode(image, "JPEG", 92)
        # so that every app meets every kind
        kind = kinds[(i // share + i // share // len(kinds)) % len(kinds)]
        copy = None
        if i % share == 0:
            copy = run.print_of(edited(image, kind, f"{receipt.app} {i}", receipt.bar_share))
        result.append(Known(receipt, run.print_of(original), kind, copy))
    return result


def copies(run: Evaluation, all_known: Sequence[Known]) -> None:
    """Each copy with its original; the fingerprint of a picture with itself."""
    for one in all_known:
        if one.copy is None:
            continue
        group = f"copy: {one.kind}"
        cropped = "crop" in one.kind or "cut" in one.kind
        step = "compare, a cropped copy" if cropped else "compare, a copy"
        run.compared(group, step, one.original, one.copy)


def variants(run: Evaluation, all_known: Sequence[Known], share: int) -> None:
    """One receipt in `share` with another that says nearly the same, every second re-encoded."""
    for i, one in enumerate(all_known[::share]):
        drawn = _below_bar(one.receipt)
        for name, vary in VARIANTS.items():
            other = vary(one.receipt, str(i))
            if vary is not other_bar and _below_bar(other) == drawn:
                continue  # this app doesn't show what was varied
            kind = "jpeg 60-95" if i % 2 else "png"
            data = edited(other.draw(), kind, str(i), other.bar_share)
            run.compared(f"variant: {name}", "compare, look-alike", one.original,
                         run.print_of(data))  # fmt: skip


def _below_bar(receipt: Receipt) -> bytes:
    image = receipt.draw()
    return image.crop((0, round(image.height * receipt.bar_share) + 1, *image.size)).tobytes()


def strangers(run: Evaluation, all_known: Sequence[Known], pairs: int) -> None:
    """Pairs of different receipts of one app: at random, half of them on one phone."""
    random = Random("strangers")
    by_app: defaultdict[str, list[Known]] = defaultdict(list)
    by_phone: defaultdict[tuple[str, Phone], list[Known]] = defaultdict(list)
    for one in all_known:
        by_app[one.receipt.app].append(one)
        by_phone[one.receipt.app, one.receipt.phone].append(one)
    for name, groups in (
        ("same app", list(by_app.values())),
        ("same app and phone", [g for g in by_phone.values() if len(g) > 1]),
    ):
        for _ in range(pairs // 2):
            group = groups[int(random.random() * len(groups))]
            first = int(random.random() * len(group))
            second = (first + 1 + int(random.random() * (len(group) - 1))) % len(group)
            a, b = group[first], group[second]
            run.compared(f"pair: {name}", "compare, look-alike", a.original,
                         b.copy if b.copy and random.random() < 0.5 else b.original)  # fmt: skip


def search(run: Evaluation, all_known: Sequence[Known], share: int, depth: int) -> None:
    """Copies against all originals: candidates, their order, and what the first ones are.

    All copies are looked up, one in `share` is ranked.
    """
    table = np.array([_filled(one.original.hashes) for one in all_known], np.int64)
    found: defaultdict[str, list[tuple[bool, bool]]] = defaultdict(list)
    crowd, places, looked_up = [], [], 0
    for i, one in enumerate(all_known):
        if one.copy is None:
            continue
        near = _near(table, one.copy)
        whole = nearest(one.copy.hashes[:1], one.original.hashes[:1])
        found[one.kind].append((i in near, whole is not None and whole <= RADIUS))
        crowd.append(len(near) - (i in near))
        looked_up += 1
        if i in near and looked_up % share == 0:
            order = _ranked(run, one.copy, [all_known[j].original for j in near])
            places.append(order.index(near.index(i)))
            for j in order[:depth]:
                if near[j] != i:
                    run.compared("pair: first candidates", "compare, look-alike", one.copy,
                                 all_known[near[j]].original)  # fmt: skip
    _print_search(found, crowd, places)


def _ranked(run: Evaluation, query: Fingerprint, candidates: Sequence[Fingerprint]) -> list[int]:
    grids = [one.coarse for one in candidates]
    return run.timed(f"rank, {_rounded(len(grids))} candidates",
                     lambda: rank(query.thumbnail, grids))  # fmt: skip


def _rounded(count: int) -> str:
    return next((f"up to {most:,}" for most in (30, 100, 300, 1000) if count <= most), "more")


def _filled(hashes: Sequence[int | None]) -> list[int]:
    known_hashes = [value for value in hashes if value is not None]
    return [value if value is not None else known_hashes[0] for value in hashes]


def _near(table: np.ndarray[tuple[int, int], np.dtype[np.int64]], one: Fingerprint) -> list[int]:
    least = np.full(len(table), 64)
    for value in one.hashes:
        if value is not None:
            bits = np.bitwise_count((table ^ np.int64(value)).view(np.uint64))
            least = np.minimum(least, bits.min(axis=1))
    return [int(i) for i in np.flatnonzero(least <= RADIUS)]


def _print_search(
    found: dict[str, list[tuple[bool, bool]]], crowd: list[int], places: list[int]
) -> None:
    print("\ncandidates: share of copies within the radius   all windows   whole only")
    total = [pair for pairs in found.values() for pair in pairs]
    for kind, pairs in [*sorted(found.items()), ("all", total)]:
        shares = [100 * float(np.mean([pair[k] for pair in pairs])) for k in (0, 1)]
        print(f"  {kind:<40} {len(pairs):>5} {shares[0]:>12.1f} % {shares[1]:>10.1f} %")
    print(f"look-alikes within the radius of a copy: median {np.median(crowd):.0f}, "
          f"95 % {np.quantile(crowd, 0.95):.0f}, most {max(crowd)}")  # fmt: skip
    at = np.array(places)
    print("the original is among the first k by rank: "
          + ", ".join(f"{k}: {100 * (at < k).mean():.2f} %" for k in DEPTHS)
          + f"; last at {at.max() + 1}")  # fmt: skip


def report(run: Evaluation) -> None:
    """Verdicts by group, and time by step."""
    print(f"\n{'verdicts':<46} {'pairs':>6} {'copy':>8} {'review':>8} {'differ':>8}   percentage")
    for group, counts in sorted(run.verdicts.items()):
        total = counts.total()
        shares = [100 * counts[v] / total for v in ("copy", "review", "different")]
        values = run.percentages[group]
        print(
            f"  {group:<44} {total:>6} ",
            " ".join(f"{share:>7.2f}%" for share in shares),
            f"  {min(values):.1f} .. {np.median(values):.1f} .. {max(values):.1f}",
        )
    print(f"\n{'ms of one core':<30} {'median':>8} {'95 %':>8} {'count':>8}")
    for step, values in sorted(run.steps.items()):
        print(f"  {step:<28} {np.median(values):>8.2f} {np.quantile(values, 0.95):>8.2f} "
              f"{len(values):>8}")  # fmt: skip


def judged(run: Evaluation) -> bool:
    """Print the two figures that count; whether both are good enough."""
    copied, pairs = _sum(run, "copy: "), _sum(run, "pair: ")
    pairs += run.verdicts["variant: same amount, a month later"]
    recall = copied["copy"] / max(1, copied.total())
    wrong = pairs["copy"] / max(1, pairs.total())
    print(f"\nrecall of true copies: {100 * recall:.3f} % ({copied['copy']:,} of "
          f"{copied.total():,}; for review {copied['review']:,})")  # fmt: skip
    print(f"false pairs in 10,000: {10_000 * wrong:.2f} ({pairs['copy']:,} of "
          f"{pairs.total():,}; for review {pairs['review']:,})")  # fmt: skip
    good = recall >= LEAST_RECALL and wrong <= MOST_FALSE
    print("good enough" if good else "not good enough: see the goals in --help")
    return good


def _sum(run: Evaluation, prefix: str) -> Counter[str]:
    return sum((c for g, c in run.verdicts.items() if g.startswith(prefix)), Counter())


def folder(path: Path) -> None:
    """The first picture of a folder with each of the others."""
    files = sorted(p for p in path.iterdir() if p.is_file())
    prints = {p.name: fingerprint(decode(p.read_bytes())) for p in files}
    (name, first), *others = prints.items()
    print(f"{name} with         hash  verdict    percentage")
    for other, its in others:
        found = compare(first, its)
        hashes = nearest(first.hashes, its.hashes)
        print(f"  {other:<24} {hashes!s:>3}  {found.verdict:<9} {found.percentage:>5.1f}  "
              + "; ".join(found.explanation))  # fmt: skip


def one_app(count: int) -> Iterator[Receipt]:
    """Receipts of one app, every second on the same phone, the others on any."""
    for i in range(count):
        yield any_receipt(str(i), ONE_APP, PHONES[5:6] if i % 2 else PHONES)


def of_apps(count: int, apps: Sequence[str]) -> Iterator[Receipt]:
    """As many receipts of each app, on any phone."""
    for i in range(count):
        yield any_receipt(str(i // len(apps)), apps[i % len(apps)])


def of_random_apps(count: int) -> Iterator[Receipt]:
    """Four receipts an app, all on one screen; every third app on an odd one."""
    for i in range(count):
        app = i // 4
        screens = PHONES if app % 3 else ODD_SCREENS
        yield any_receipt(str(i), f"app {2 * app + 1}", (screens[app // 3 % len(screens)],))


SETS: dict[str, Callable[[int], Iterator[Receipt]]] = {
    "one app": one_app,
    "unseen": lambda count: of_apps(count, tuple(UNSEEN)),
    "random": of_random_apps,
    "developed": lambda count: of_apps(count, tuple(DEVELOPED)),
}
COUNTS = {"one app": 2000, "unseen": 400, "random": 400, "developed": 400}


def evaluate(total: Evaluation, name: str, args: argparse.Namespace) -> None:
    """One set of receipts; printed, and added to the total."""
    run = Evaluation()
    count = round(COUNTS[name] * args.share)
    share = 4 if name == "one app" else 1
    all_known = known(run, list(SETS[name](count)), share)
    sizes = [one.original.size for one in all_known]
    print(f"\n=== {name}: {len(all_known)} receipts, copies of one in {share}; a fingerprint has "
          f"{np.median(sizes):.0f} bytes (most {max(sizes)})")  # fmt: skip
    copies(run, all_known)
    search(run, all_known, 2 * share, args.depth)
    variants(run, all_known, 4 * share)
    strangers(run, all_known, round(args.pairs * args.share))
    report(run)
    for group, counts in run.verdicts.items():
        total.verdicts[group] += counts


def main() -> int:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--sets", nargs="+", choices=list(SETS), default=["one app", "unseen", "random"]
    )
    parser.add_argument("--share", type=float, default=1.0, help="of receipts and of pairs")
    parser.add_argument("--pairs", type=int, default=3000, help="look-alikes to compare in a set")
    parser.add_argument("--depth", type=int, default=10, help="candidates compared for a copy")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.folder:
        folder(args.folder)
        return 0
    total = Evaluation()
    for name in args.sets:
        evaluate(total, name, args)
    return 0 if judged(total) else 1


if __name__ == "__main__":
    sys.exit(main())
