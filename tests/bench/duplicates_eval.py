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
    PHONES,
    Receipt,
    any_receipt,
    next_month,
    other_bar,
    other_character,
    other_digit,
)
from tests.bench.receipts_apps import DEVELOPED
from tests.bench.receipts_apps_unseen import UNSEEN
from tests.bench.receipts_edits import KINDS, edited, encode

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
    by_phone: defaultdict[tuple[str, int], list[Known]] = defaultdict(list)
    for one in all_known:
        by_app[one.receipt.app].append(one)
        by_phone[one.receipt.app, PHONES.index(one.receipt.phone)].append(one)
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


def search(run: Evaluation, all_known: Sequence[Known], depth: int) -> None:
    """Every copy against all originals: candidates, their order, and what the first ones are."""
    table = np.array([_filled(one.original.hashes) for one in all_known], np.int64)
    found: defaultdict[str, list[tuple[bool, bool]]] = defaultdict(list)
    crowd, places = [], []
    for i, one in enumerate(all_known):
        near = _near(table, one.copy)
        whole = nearest(one.copy.hashes[:1], one.original.hashes[:1])
        found[one.kind].append((i in near, whole is not None and whole <= RADIUS))
        crowd.append(len(near) - (i in near))
        if i not in near:
            continue
        candidates = [all_known[j].original for j in near]
        order = run.timed("rank, per candidate", lambda c=candidates, q=one.copy: rank(q, c))  # type: ignore[misc]
        run.steps["rank, per candidate"][-1] /= len(near)
        places.append(order.index(near.index(i)))
        for j in order[:depth]:
            if near[j] != i:
                run.compared("pair: first candidates", "compare, look-alike", one.copy,
                             candidates[j])  # fmt: skip
    _print_search(found, crowd, places)


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
        print(f"  {group:<44} {total:>6} " + " ".join(f"{s:>7.2f}%" for s in shares)
              + f"   {min(values):.1f} .. {np.median(values):.1f} .. {max(values):.1f}")  # fmt: skip
    for prefix, verdict in (("copy: ", "copy"), ("pair: ", "copy")):
        groups = [c for g, c in run.verdicts.items() if g.startswith(prefix)]
        total = sum(c.total() for c in groups)
        hits = sum(c[verdict] for c in groups)
        doubt = sum(c["review"] for c in groups)
        name = "recall of copies" if prefix == "copy: " else "false pairs"
        print(f"{name}: {hits} of {total} ({100 * hits / max(1, total):.3f} %), "
              f"for review {doubt}")  # fmt: skip
    print(f"\n{'ms of one core':<30} {'median':>8} {'95 %':>8} {'count':>8}")
    for step, values in run.steps.items():
        print(f"  {step:<28} {np.median(values):>8.2f} {np.quantile(values, 0.95):>8.2f} "
              f"{len(values):>8}")  # fmt: skip


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


def chosen(args: argparse.Namespace) -> Iterator[Receipt]:
    """The receipts to evaluate on: every app alike, or one app on one phone."""
    apps = APPS[args.apps]
    if args.crowd:
        for app in apps[: args.crowd_apps]:
            for i in range(args.crowd):
                yield any_receipt(str(i), app, PHONES[5:6])
        return
    for i in range(args.receipts):
        yield any_receipt(str(i // len(apps)), apps[i % len(apps)])


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--apps", choices=sorted(APPS), default="unseen")
    parser.add_argument("--receipts", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=10_000, help="look-alikes to compare")
    parser.add_argument("--depth", type=int, default=10, help="candidates compared for a copy")
    parser.add_argument("--variants", type=int, default=4, help="one receipt in so many is varied")
    parser.add_argument("--crowd", type=int, default=0)
    parser.add_argument("--crowd-apps", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.folder:
        folder(args.folder)
        return
    run = Evaluation()
    all_known = known(run, list(chosen(args)))
    sizes = [one.original.size for one in all_known]
    print(f"{len(all_known)} receipts of {args.apps} apps, one copy each; a fingerprint has "
          f"{np.median(sizes):.0f} bytes (most {max(sizes)})")  # fmt: skip
    copies(run, all_known)
    search(run, all_known, args.depth)
    variants(run, all_known, args.variants)
    strangers(run, all_known, args.pairs)
    report(run)


if __name__ == "__main__":
    main()
