"""Metadata gives a source and sentences that inform without accusing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.pictures.exif import Exif
from runner.tasks.image_signals.metadata import Source, device, editor, notes, source


def by(*programs: str, comment: str = "", make: str | None = None) -> Exif:
    """Metadata that names these programs."""
    return Exif(
        available=True,
        software=programs[0] if programs else None,
        programs=programs,
        comments=(comment,) if comment else (),
        make=make,
    )


@pytest.mark.parametrize(
    "name",
    [
        "Adobe Photoshop CC 2019 (Windows)",
        "Adobe Photoshop Lightroom 6.3",
        "GIMP 2.10.34",
        "gimp",
        "Microsoft Windows Paint",
        "MSPaint",
        "Paint.NET v5.0",
        "paint.net 4.3",
        "Paint3D",
        "PaintShop Pro 23",
        "Paint Shop Pro",
        "Photo Editor",
        "PhotoEditor 2",
        "Samsung Editor",
        "Windows Photo Editor 10.0.10011.16384",
        "Pixlr X",
        "Canva",
        "Canva (Renderer)",
    ],
)
def test_editor_is_recognised(name: str) -> None:
    """Programs that edit pictures are named as they name themselves, and make the source."""
    found = by(name)
    assert (editor(found), source(found)) == (name, Source.EDITED)


@pytest.mark.parametrize(
    "name",
    [
        "HTML canvas",
        "Skia Canvas",
        "Painted Desert Camera",
        "Painting 1.0",
        "repainted",
        "Gimpel Soft",
        "Creditor App",
        "Editorial 3",
        "16.2",
        "Android TQ3A.230901.001",
        "Google",
    ],
)
def test_other_program_is_no_editor(name: str) -> None:
    """A name that only contains an editor's letters, or none of them, is a screenshot's program."""
    found = by(name)
    assert (editor(found), source(found)) == (None, Source.SCREENSHOT)


@pytest.mark.parametrize(
    "exif, expected",
    [
        (Exif(), Source.UNKNOWN),
        (Exif(available=True, created="2024-01-02T03:04:05"), Source.UNKNOWN),
        (by(comment="Lunch with Ann"), Source.UNKNOWN),
        (by("gnome-screenshot"), Source.SCREENSHOT),
        (by("Screen Capture 2"), Source.SCREENSHOT),
        (by("Screenshot Editor"), Source.SCREENSHOT),
        (by(comment="Screenshot"), Source.SCREENSHOT),
        (by("16.2", comment="Screenshot", make="Fruit"), Source.SCREENSHOT),
        (by("gnome-screenshot", make="Fruit"), Source.SCREENSHOT),
        (by(make="Fruit"), Source.CAMERA),
        (Exif(available=True, model="Phone 12"), Source.CAMERA),
        (by("HDR+ 1.0", make="Fruit"), Source.CAMERA),
        (by("GIMP 2.10", make="Fruit"), Source.EDITED),
        (by("GIMP 2.10", comment="Screenshot"), Source.EDITED),
        (by("gnome-screenshot", "Adobe Photoshop"), Source.EDITED),
        (by("Screenshot Editor", "Canva"), Source.EDITED),
    ],
)
def test_source_has_an_order(exif: Exif, expected: Source) -> None:
    """An editor counts before a screenshot's mark, that before a camera, that before the rest."""
    assert source(exif) is expected


@pytest.mark.parametrize(
    "make, model, name",
    [
        ("Canon", "Canon EOS 40D", "Canon EOS 40D"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("samsung", "SAMSUNG S1", "SAMSUNG S1"),
        (None, "iPhone 12", "iPhone 12"),
        ("Apple", None, "Apple"),
        (None, None, None),
    ],
)
def test_device_is_named_once(make: str | None, model: str | None, name: str | None) -> None:
    """Make and model are one name, in which the make isn't said twice."""
    assert device(Exif(make=make, model=model)) == name


@pytest.mark.parametrize("form", ["PNG", "JPEG", "HEIF", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_absence_is_no_accusation(form: str) -> None:
    """That there is no EXIF data is told as a fact that means nothing by itself."""
    text = notes(Exif(stripped=form in ("JPEG", "HEIF")), form)
    assert "no EXIF data" in text
    assert "normal" in text or "means nothing" in text or "common" in text
    assert not any(word in text.lower() for word in ("suspicious", "fake", "fraud", "strip"))


def test_notes_tell_what_there_is() -> None:
    """Device, date with zone, program and what is unusable are all told."""
    text = notes(
        Exif(
            available=True,
            created="2024-01-02T03:04:05+05:30",
            make="Apple",
            model="iPhone 12",
            programs=("16.2",),
            problems=("the date “0000:00:00 00:00:00”, which is no date",),
        ),
        "JPEG",
    )
    for part in ("Apple iPhone 12", "2024-01-02 at 03:04:05 (UTC+05:30)", "“16.2”", "0000:00:00"):
        assert part in text
    assert "no EXIF data" not in text


def test_notes_name_the_editor_and_its_harmless_uses() -> None:
    """An editor is named together with what people use it for every day."""
    text = notes(by("16.2", "Adobe Photoshop 22"), "JPEG")
    assert "“Adobe Photoshop 22”" in text
    assert "crop" in text


def test_notes_say_when_there_is_nothing_in_them() -> None:
    """EXIF data that says nothing of the origin is told as that."""
    assert "names no date, device or program" in notes(Exif(available=True), "JPEG")


texts = st.none() | st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)


@given(
    st.builds(
        Exif,
        available=st.booleans(),
        created=st.none()
        | st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat()),
        make=texts,
        model=texts,
        programs=st.lists(st.text(min_size=1), max_size=3).map(tuple),
        comments=st.lists(st.text(), max_size=3).map(tuple),
        problems=st.lists(st.text(min_size=1), max_size=2).map(tuple),
    ),
    st.sampled_from(["JPEG", "PNG", "WEBP", "HEIF", "GIF"]),
)
def test_notes_are_sentences(exif: Exif, form: str) -> None:
    """Whatever metadata there is, the notes begin with a capital and end with a full stop."""
    text = notes(exif, form)
    assert text[0].isupper()
    assert text.endswith(".")
    assert source(exif) in set(Source)
