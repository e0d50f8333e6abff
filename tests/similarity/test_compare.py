"""What comparing two fingerprints says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from runner.similarity import Comparison, compare
from tests.bench.receipts import next_month, other_bar, other_digit
from tests.bench.receipts_canvas import font
from tests.bench.receipts_edits import KINDS
from tests.similarity.conftest import copy, original, printed, receipt

APPS = ("hero", "dark_card", "bank_table")


def scenery(seed: int, size: tuple[int, int] = (480, 320)) -> Image.Image:
    """Something like a photograph: blobs of all sizes."""
    random = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0]), np.float32)
    for cells in (4, 9, 20, 45, 100):
        noise = Image.fromarray(random.normal(size=(cells, cells)).astype(np.float32))
        total += np.asarray(noise.resize(size, Image.Resampling.BICUBIC)) / cells**0.4
    total = (total - total.min()) / (total.max() - total.min()) * 255
    return Image.fromarray(total.astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_copy_is_a_copy(kind: str) -> None:
    """Every kind of edit leaves a copy a copy, in each of three apps."""
    for seed, app in enumerate(APPS):
        found = compare(original(app, seed), copy(app, kind, seed))
        assert found.verdict == "copy", (app, found.explanation)
        assert found.percentage > 97


@pytest.mark.parametrize("app", APPS)
def test_another_payment_is_no_copy(app: str) -> None:
    """Other payments in the same app on the same phone are different, copied or not."""
    for seed in range(4):
        found = compare(original(app, seed), original(app, seed + 1))
        cropped = compare(original(app, seed), copy(app, "crop <= 5 % a side", seed + 1))
        assert (found.verdict, cropped.verdict) == ("different", "different")


@pytest.mark.parametrize("app", APPS)
def test_the_same_amount_a_month_later_is_no_copy(app: str) -> None:
    """The next month's payment of the same amount is not called a copy of the first."""
    later = printed(next_month(receipt(app), "1").draw())
    assert compare(original(app), later).verdict == "different"


@pytest.mark.parametrize("app", APPS)
def test_one_digit_of_the_amount_is_seen(app: str) -> None:
    """A changed digit of the amount is never called a copy, and is marked where it stands."""
    changed = other_digit(receipt(app), "1")
    found = compare(original(app), printed(changed.draw()))
    assert found.verdict != "copy"
    assert found.percentage < 100
    assert len(found.regions_a) == 1


def test_nothing_but_an_amount_tells_amounts_apart() -> None:
    """A screenshot with hardly anything on it is no copy of one with another amount."""
    drawn = []
    for amount in ("1,250.00", "1,260.00", "3,817.45"):
        image = Image.new("RGB", (540, 1170), (250, 250, 250))
        ImageDraw.Draw(image).text((270, 500), amount, (20, 20, 20), font(60), anchor="mm")
        drawn.append(printed(image))
    for other in drawn[1:]:
        assert compare(drawn[0], other).verdict != "copy"


def test_only_the_status_bar_differs() -> None:
    """The same receipt, opened again at another time, is a copy, and the bar is mentioned."""
    again = printed(other_bar(receipt("hero"), "1").draw())
    found = compare(original("hero"), again)
    assert found.verdict == "copy"
    assert "only the status bar at the top differs" in found.explanation


def test_a_long_screenshot_has_no_higher_status_bar() -> None:
    """What stands high up in a very long screenshot is compared like the rest."""
    drawn = []
    for amount in ("1,250.00", "9,384.16"):
        image = Image.new("RGB", (400, 2400), (250, 250, 250))
        draw = ImageDraw.Draw(image)
        draw.text((200, 100), amount, (20, 20, 20), font(40), anchor="mm")
        for y in range(200, 2400, 50):
            draw.text((20, y), f"Line {y} of the terms", (60, 60, 60), font(22))
        drawn.append(printed(image))
    assert compare(*drawn).verdict != "copy"


@pytest.mark.parametrize("kind", ["jpeg 60", "crop <= 5 % a side", "bar cut, crop, resize"])
def test_swapping_the_pictures_swaps_the_sides(kind: str) -> None:
    """The order of the two pictures changes nothing but which side is which."""
    for other in (copy("hero", kind), copy("hero", kind, 1)):
        there, back = compare(original("hero"), other), compare(other, original("hero"))
        assert (there.percentage, there.verdict) == (back.percentage, back.verdict)
        assert (there.cut_a, there.regions_a) == (back.cut_b, back.regions_b)
        assert (there.cut_b, there.regions_b) == (back.cut_a, back.regions_a)
        assert there.scale == pytest.approx(1 / back.scale)


def shares(found: Comparison) -> list[float]:
    """All numbers of a comparison that are shares of a side."""
    regions = found.regions_a + found.regions_b
    edges = [x for r in regions for x in (r.left, r.top, r.left + r.width, r.top + r.height)]
    return [*found.cut_a, *found.cut_b, *edges]


def test_figures_are_within_their_bounds() -> None:
    """Percentages are 0..100, and cuts and regions lie within the pictures."""
    for other in (copy("hero", "crop, resize", 2), original("chat"), original("hero", 3, 1)):
        found = compare(original("hero", 2), other)
        assert 0 <= found.percentage <= 100
        assert all(-1e-9 <= share <= 1 + 1e-9 for share in shares(found))
        assert len(found.regions_a) == len(found.regions_b)


def test_a_hundred_percent_leaves_nothing_marked() -> None:
    """A picture is wholly the same as itself."""
    found = compare(original("hero"), original("hero"))
    assert (found.percentage, found.verdict, found.regions_a) == (100, "copy", ())
    assert found.scale == pytest.approx(1)


def test_a_crop_is_told() -> None:
    """What was cut off is told in shares of the uncropped picture, and said in words."""
    image = receipt("hero").draw()
    width, height = image.size
    part = image.crop((round(width * 0.04), 0, width, round(height * 0.95)))
    found = compare(printed(image), printed(part))
    left, top, right, bottom = found.cut_a
    assert (left, bottom) == pytest.approx((0.04, 0.05), abs=0.006)
    assert (top, right) == pytest.approx((0, 0), abs=0.006)
    assert any("cut off in the second: 4 % at the left" in said for said in found.explanation)


def test_a_resized_copy_has_its_scale() -> None:
    """The scale is that of the originals, not of what is kept of them."""
    image = receipt("hero").draw()
    found = compare(printed(image), printed(image.resize((image.width // 2, image.height // 2))))
    assert found.scale == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("field", ["version", "algorithm"])
def test_generations_never_mix(field: str) -> None:
    """Fingerprints of two versions or algorithms are not compared."""
    one = original("hero")
    other = replace(one, version=99) if field == "version" else replace(one, algorithm="other")
    with pytest.raises(ValueError, match="compute the older one again"):
        compare(one, other)


def test_flat_pictures_are_not_called_copies() -> None:
    """Two pictures of one colour are for a person to judge: likeness means nothing there."""
    found = compare(printed(Image.new("RGB", (300, 500), "white")),
                    printed(Image.new("RGB", (300, 500), (250, 250, 250))))  # fmt: skip
    assert found.verdict == "review"
    assert found.percentage == 0


def test_tiny_pictures_can_be_compared() -> None:
    """Pictures of a few pixels raise nothing."""
    for size in ((1, 1), (3, 40), (40, 3), (17, 17)):
        found = compare(printed(Image.new("RGB", size, "red")), original("hero"))
        assert found.verdict != "copy"


@pytest.mark.parametrize("edit", ["blur", "sharpen", "squash"])
def test_a_photograph_edited_all_over_is_a_copy(edit: str) -> None:
    """Blurring, sharpening or squashing a photograph leaves it a copy."""
    image = scenery(1)
    changed = {
        "blur": image.filter(ImageFilter.GaussianBlur(1.5)),
        "sharpen": image.filter(ImageFilter.SHARPEN),
        "squash": image.resize((256, 256)),
    }[edit]
    assert compare(printed(image), printed(changed)).verdict == "copy"


def test_other_photographs_are_different() -> None:
    """Photographs of other things are different."""
    for seed in range(2, 6):
        assert compare(printed(scenery(1)), printed(scenery(seed))).verdict == "different"


def test_words_over_a_photograph_count() -> None:
    """Another amount over the same background picture is no copy, however much is alike."""
    drawn = []
    for amount in ("1,250.00", "9,384.16"):
        image = scenery(1, (540, 960))
        ImageDraw.Draw(image).text((270, 400), amount, "white", font(48), anchor="mm")
        drawn.append(printed(image))
    assert compare(*drawn).verdict != "copy"
