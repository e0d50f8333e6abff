"""What a file's metadata says about where a picture comes from, as a class and in sentences."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

from runner.pictures.exif import CARRIERS, Exif


class Source(StrEnum):
    """The values of `exif_source_type`."""

    SCREENSHOT = "screenshot"
    CAMERA = "camera"
    EDITED = "edited"
    UNKNOWN = "unknown"


_SCREENSHOT = re.compile(r"screen[ _-]?(?:shot|cap|grab)", re.IGNORECASE)
"""`Screenshot` in the comment that phones write; `gnome-screenshot`, `Screen Capture` and alike."""

_EDITOR = re.compile(
    r"photoshop|pixlr|(?<![a-z])gimp(?![a-z])|(?<![a-z])(?:ms)?paint(?![a-z])|paint(?:shop|brush)"
    r"|(?<!cr)editor(?![a-z])|(?<![a-z])canva(?![a-z])",
    re.IGNORECASE,
)
"""The application's list: photoshop, gimp, paint, editor, pixlr, canva. Short names count as words
only: Canva is an editor, and a canvas is what browsers draw pictures on."""


def editor(exif: Exif) -> str | None:
    """The first program that is known to edit pictures, as it names itself; None: there is none.

    A program that takes screenshots and names itself an editor as well is none.
    """
    return next(
        (name for name in exif.programs if _EDITOR.search(name) and not _SCREENSHOT.search(name)),
        None,
    )


def source(exif: Exif) -> Source:
    """By the first that applies: an editor, a screenshot's mark, a camera, any other program.

    An editor comes first, because it worked on what a camera or a screenshot had made before. A
    mark comes before a camera, because phones name themselves in their screenshots as well. A
    program that is none of these is most often the phone's own, and so a screenshot's.
    """
    if editor(exif):
        return Source.EDITED
    if any(_SCREENSHOT.search(text) for text in (*exif.programs, *exif.comments)):
        return Source.SCREENSHOT
    if exif.make or exif.model:
        return Source.CAMERA
    return Source.SCREENSHOT if exif.programs else Source.UNKNOWN


def device(exif: Exif) -> str | None:
    """Make and model as one name; models often begin with their make."""
    make, model = exif.make or "", exif.model or ""
    if model.casefold().startswith(make.casefold()):
        make = ""
    return f"{make} {model}".strip() or None


def notes(exif: Exif, form: str) -> str:
    """Sentences for a committee member; `form` is the format's name, such as `PNG`."""
    sentences = (_origin(exif), _made(exif), _programs(exif), _unread(exif))
    said = [sentence for sentence in sentences if sentence]
    if not exif.available:
        said.insert(0, _nothing(exif, form))
    elif not said:
        said.append("The file has EXIF data, but it names no date, device or program.")
    return " ".join(said)


def _nothing(exif: Exif, form: str) -> str:
    if form in CARRIERS:
        reason = (
            f"Cameras write it into {form} files. Messengers and many apps remove it when a "
            "picture is sent, and many screenshots never had it, so this alone means nothing."
        )
    elif form == "PNG":
        reason = "That is normal for PNG, the format that most phones save screenshots in."
    else:
        reason = f"That is common for {form} files."
    if exif.problems:
        return "No EXIF data could be read in the file."
    return f"The file has no EXIF data. {reason}"


def _origin(exif: Exif) -> str | None:
    if any(_SCREENSHOT.search(text) for text in exif.comments):
        return "The file is marked as a screenshot by the device that made it."
    name = device(exif)
    return f"The file names the device {name}." if name else None


def _made(exif: Exif) -> str | None:
    if exif.created is None:
        return None
    moment = datetime.fromisoformat(exif.created)
    zone = f" ({moment.tzname()})" if moment.tzinfo else ""
    return (
        "Its date, by the clock of the device that wrote it, is "
        f"{moment:%Y-%m-%d} at {moment:%H:%M:%S}{zone}."
    )


def _programs(exif: Exif) -> str | None:
    found = editor(exif)
    if found:
        return (
            f"It names the program “{found}”, which can change pictures; people also crop and "
            "convert with such programs, so look at the picture before you conclude anything."
        )
    return f"It names the program “{exif.programs[0]}”." if exif.programs else None


def _unread(exif: Exif) -> str | None:
    return f"Not usable: {'; '.join(exif.problems)}." if exif.problems else None
