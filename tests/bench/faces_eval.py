"""Are the right people matched, and nobody to a wrong one? See docs/decisions/local-faces.md.

    python -m tests.bench.faces_eval FOLDER              the examples of ageitgey/face_recognition
    python -m tests.bench.faces_eval --portraits FOLDER  tests/unit/dataset of serengil/deepface:
                                                         its CSV files say who is the same
    python -m tests.bench.faces_eval --strangers FOLDER  examples/faces of davisking/dlib: group
                                                         pictures, everybody is somebody else
    python -m tests.bench.faces_eval FOLDER --speed      pictures a second, memory

The folders may be given together. Each picture in turn is new; the faces of all others are known
and linked to their people. Exits with 1 if a face was assigned to a wrong person, or if any two
people are as close as one person's pictures should be. Pictures are decoded like those of a task.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from runner.faces import Box, Face, Match, decide, distance, dropped, similarity
from runner.faces.local import LocalFaces
from runner.faces.similarity import ASSIGN_DISTANCE, SUGGEST_DISTANCE
from runner.pictures import decode

EXAMPLES = {
    "biden.jpg": ("biden",),
    "obama.jpg": ("obama",),
    "obama2.jpg": ("obama",),
    "test-kit_with_rose.jpg": ("rose", "kit"),
    "train-biden-biden2.jpg": ("biden",),
    "train-kit_harington-john1.jpeg": ("kit",),
    "train-kit_harington-john2.jpeg": ("kit",),
    "train-rose_leslie-img1.jpg": ("rose",),
    "train-rose_leslie-img2.jpg": ("rose",),
    "two_people.jpg": ("obama", "biden"),
}
"""Who is in the pictures, from left to right, as the file names say."""

COLLAGES = ("bald_guys.jpg", "dogs.jpg")
"""Of the group pictures: a page of portraits of four people, and no people."""

BLURS = (0.0, 0.02, 0.03, 0.04, 0.05)
PICTURES = ("*.jpg", "*.jpeg", "*.png")


@dataclass(frozen=True, slots=True)
class Known:
    """A face whose person is known."""

    file: str
    person: str
    face: Face


def found(engine: LocalFaces, path: Path) -> list[Face]:
    """The faces of a file that are kept."""
    image = decode(path.read_bytes(), short_side=engine.short_side).image
    return [face for face in engine.find(image) if not dropped(face)]


def files(folder: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    return sorted(path for pattern in PICTURES for path in folder.glob(pattern))


def examples(engine: LocalFaces, folder: Path) -> list[Known]:
    """Faces of the pictures whose file names say who is in them."""
    known = []
    for path in files(folder):
        people = EXAMPLES.get(path.name)
        if people is None:
            print(f"{path.name}: not known who is in it")
            continue
        faces = found(engine, path)
        if len(faces) != len(people):
            print(f"{path.name}: {len(faces)} faces found, {len(people)} expected")
            continue
        known += [Known(path.name, *one) for one in zip(people, faces, strict=True)]
    return known


def portraits(engine: LocalFaces, folder: Path) -> list[Known]:
    """The largest face of each picture that a pair of the CSV files names."""
    people = _groups(folder)
    known = []
    for path in files(folder):
        if path.name not in people:
            continue
        faces = found(engine, path)
        if faces:
            largest = max(faces, key=lambda face: face.box.width)
            known.append(Known(path.name, people[path.name], largest))
        else:
            print(f"{path.name}: no face is kept")
    return known


def _groups(folder: Path) -> dict[str, str]:
    """Who is who, by the pairs that show the same person: a file's name to its person's first."""
    person: dict[str, str] = {}
    for table in sorted(folder.glob("*.csv")):
        with table.open(newline="", encoding="utf-8") as lines:
            for first, second, same, *_ in itertools.islice(csv.reader(lines), 1, None):
                a, b = Path(first).name, Path(second).name
                old, new = person.setdefault(b, b), person.setdefault(a, a)
                if same == "Yes":
                    person.update((file, new) for file, one in person.items() if one == old)
    return person


def strangers(engine: LocalFaces, folder: Path) -> list[Known]:
    """Each face of the group pictures as a person of its own."""
    return [
        Known(path.name, f"{path.name} {i}", face)
        for path in files(folder)
        if path.name not in COLLAGES
        for i, face in enumerate(found(engine, path))
    ]


def apart(a: Known, b: Known) -> float:
    """The distance of two faces."""
    assert a.face.embedding is not None
    assert b.face.embedding is not None
    return distance(a.face.embedding, b.face.embedding)


def print_distances(name: str, known: Sequence[Known]) -> bool:
    """Distances within people and between them; whether no wrong pair is in the first band."""
    same: list[float] = []
    others: list[float] = []
    for a, b in itertools.combinations(known, 2):
        (same if a.person == b.person else others).append(apart(a, b))
    print(f"\n{name}: {len(known)} faces of {len({one.person for one in known})} people")
    print("  pairs        number   lowest   1 %   median   99 %   highest"
          f"   <= {ASSIGN_DISTANCE}   <= {SUGGEST_DISTANCE}")  # fmt: skip
    for what, values in (("same", same), ("different", others)):
        if values:
            low, one, median, most, high = np.quantile(values, (0, 0.01, 0.5, 0.99, 1))
            first, second = (100 * np.mean(np.array(values) <= edge)
                             for edge in (ASSIGN_DISTANCE, SUGGEST_DISTANCE))  # fmt: skip
            print(f"  {what:<10} {len(values):>8,}   {low:6.3f} {one:5.3f}   {median:6.3f}"
                  f"  {most:5.3f}    {high:6.3f}  {first:6.2f} %  {second:6.2f} %")  # fmt: skip
    return not others or min(others) > ASSIGN_DISTANCE


def print_decisions(name: str, known: Sequence[Known]) -> int:
    """What becomes of each face; the number of those assigned to somebody wrong."""
    told, strange = Counter[str](), Counter[str]()
    for file in sorted({one.file for one in known}):
        new = [one for one in known if one.file == file]
        rest = [one for one in known if one.file != file]
        told.update(_outcomes(new, rest))
        for one in new:
            strange.update(_outcomes([one], [r for r in rest if r.person != one.person]))
    columns = ("assigned right", "suggested first", "suggested", "unknown", "suggested wrong",
               "assigned WRONG")  # fmt: skip
    print(f"\n{name:<34}" + "".join(f"{column:>17}" for column in columns))
    for what, counts in (("known people", told), ("the same, nobody of theirs known", strange)):
        print(f"  {what:<32}" + "".join(f"{counts[column]:>17}" for column in columns))
    return told[columns[-1]] + strange[columns[-1]]


def _outcomes(new: Sequence[Known], rest: Sequence[Known]) -> Iterable[str]:
    matches = [[Match(r.file, similarity(apart(one, r)), r.person) for r in rest] for one in new]
    for one, decision in zip(new, decide(matches), strict=True):
        people = [suggestion.person for suggestion in decision.suggestions]
        if decision.chosen is not None:
            right = decision.chosen.person == one.person
            yield "assigned right" if right else "assigned WRONG"
        elif one.person in people:
            yield "suggested first" if people[0] == one.person else "suggested"
        else:
            yield "suggested wrong" if people else "unknown"


def print_blurred(engine: LocalFaces, name: str, known: Sequence[Known], folder: Path) -> bool:
    """The faces out of focus, by shares of their width: what is kept, and who is mixed up."""
    print(f"\n{name}, blurred    kept   dropped   wrong pairs   <= {ASSIGN_DISTANCE}"
          f"   <= {SUGGEST_DISTANCE}")  # fmt: skip
    good = True
    for blur in BLURS:
        kept: list[Known] = []
        for one in known:
            head = _head(decode((folder / one.file).read_bytes(), short_side=1024).image,
                         one.face.box)  # fmt: skip
            if blur:
                head = head.filter(ImageFilter.GaussianBlur(blur * head.width / 3))
            faces = [face for face in engine.find(head) if not dropped(face)]
            kept += [Known(one.file, one.person, face) for face in faces[:1]]
        wrong = [apart(a, b) for a, b in itertools.combinations(kept, 2) if a.person != b.person]
        first = sum(value <= ASSIGN_DISTANCE for value in wrong)
        second = sum(value <= SUGGEST_DISTANCE for value in wrong)
        good = good and not first
        print(f"  {100 * blur:3.0f} % of its width {len(kept):>7} {len(known) - len(kept):>9} "
              f"{len(wrong):>13,} {first:>9} {second:>9}", flush=True)  # fmt: skip
    return good


def _head(image: Image.Image, box: Box) -> Image.Image:
    """Three times a face's box around its middle, 450 pixels wide, so the face has 150."""
    width, height = box.width * image.width, box.height * image.height
    left, top = box.left * image.width, box.top * image.height
    part = (left - width, top - height, left + 2 * width, top + 2 * height)
    return image.crop(tuple(round(edge) for edge in part)).resize((450, 450))  # type: ignore[arg-type]


def print_speed(engine: LocalFaces, folder: Path) -> None:
    """Pictures a second with one and two threads, and memory, in this order of growing."""
    paths = files(folder)
    print(f"\nspeed, {len(paths)} pictures; memory with the models loaded: {_memory():.0f} MB")
    found(engine, paths[0])
    for threads in (1, 2, 1, 2):
        began, worked = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(threads) as pool:
            faces = sum(map(len, pool.map(lambda path: found(engine, path), paths)))
        seconds, cpu = time.perf_counter() - began, time.process_time() - worked
        print(f"  threads: {threads}  {len(paths) / seconds:5.2f} pictures/s  "
              f"{cpu / len(paths):.2f} s of CPU a picture  {faces} faces  "
              f"most memory so far {_memory():.0f} MB")  # fmt: skip


def _memory() -> float:
    """The most that this process has had so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) counts bytes there
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> int:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--portraits", type=Path)
    parser.add_argument("--strangers", type=Path)
    parser.add_argument("--blur", action="store_true", help="the faces out of focus, too")
    parser.add_argument("--any-sharpness", action="store_true", help="without the limit for blur")
    parser.add_argument("--speed", action="store_true")
    args = parser.parse_args()
    engine = LocalFaces(least_sharpness=0) if args.any_sharpness else LocalFaces()
    if args.speed:
        print_speed(engine, args.folder)
        return 0
    readers = {"folder": examples, "portraits": portraits, "strangers": strangers}
    sets = {name: read(engine, folder)
            for name, read in readers.items() if (folder := getattr(args, name))}  # fmt: skip
    good = True
    for name, known in sets.items():
        good = print_distances(name, known) and good
    if args.portraits and args.strangers:
        together = sets["portraits"] + sets["strangers"]
        good = print_distances("portraits and strangers", together) and good
    wrong = sum(print_decisions(name, known) for name, known in sets.items())
    for name in sets if args.blur else ():
        if name != "strangers":
            good = print_blurred(engine, name, sets[name], getattr(args, name)) and good
    print("\nnobody is assigned to a wrong person" if good and not wrong else "\nNOT GOOD ENOUGH")
    return 0 if good and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
