"""image_signals from the command line, on drawn receipts."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from runner.errors import ExitCode
from tests.bench.receipts import any_receipt, next_month
from tests.bench.receipts_edits import edited, encode
from tests.cli.conftest import Backfill, Ended
from tests.plugins.database import Database


class Shop:
    """Payments whose screenshots are files in a folder, called by their names."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.folder = folder
        self.connection = database.connect(autocommit=True)

    def add(self, name: str, data: bytes | None, day: int = 1) -> None:
        """A payment of that day of 2024; without data, its file is missing."""
        if data is not None:
            (self.folder / name).write_bytes(data)
        self.connection.execute(
            "insert into payment_submissions (flat_id, screenshot_url, created_at)"
            " values (%s, %s, make_timestamptz(2024, 1, %s, 12, 0, 0, 'UTC'))",
            [name, name, day],
        )

    def signals(self, name: str) -> dict[str, Any]:
        """The payment's row of signals, and the name of whom it is similar to."""
        with self.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            row = cursor.execute(
                "select g.*, e.flat_id as first from payment_image_signals g"
                "  join payment_submissions p on p.id = g.payment_submission_id"
                "  left join payment_submissions e on e.id = g.similar_to_payment_id"
                " where p.flat_id = %s",
                [name],
            ).fetchone()
        assert row is not None
        return row


@pytest.fixture
def shop(complete: Database, tmp_path: Path) -> Iterator[Shop]:
    """A shop without payments."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    yield Shop(complete, folder)
    shutil.rmtree(folder)


@pytest.fixture
def run(backfill: Backfill, complete: Database, shop: Shop) -> Any:
    """Runs the task to its end."""

    def call(*arguments: str) -> Ended:
        return backfill.use(complete)(
            "run", "image_signals", "--base-url", str(shop.folder), "--delay", "0", "--yes",
            *arguments,
        )  # fmt: skip

    return call


def test_copies_are_told_from_look_alikes(shop: Shop, run: Any) -> None:
    """Copies point to their original, the same app's other receipts to nobody."""
    receipt = any_receipt("one", "hero")
    image = receipt.draw()
    shop.add("original", encode(image, "PNG"), 1)
    shop.add("other", encode(any_receipt("two", "hero").draw(), "PNG"), 2)
    shop.add("next month", encode(next_month(receipt, "x").draw(), "PNG"), 3)
    shop.add("same file", encode(image, "PNG"), 4)
    shop.add("smaller", edited(image, "resize 50 %, jpeg 60", "s", receipt.bar_share), 5)
    shop.add("cut", edited(image, "status bar cut", "s", receipt.bar_share), 6)
    ended = run()
    assert ended.code == ExitCode.DONE, ended.err
    firsts = {n: shop.signals(n)["first"] for n in ("same file", "smaller", "cut")}
    assert set(firsts.values()) == {"original"}
    for name in ("original", "other", "next month"):
        row = shop.signals(name)
        assert (row["duplicate_detected"], row["analysis_status"]) == (False, "completed"), name
    assert 99 < shop.signals("smaller")["similarity_percentage"] <= 100
    assert "at the top" in shop.signals("cut")["similarity_explanation"]
    assert "the second shows it at" in shop.signals("smaller")["similarity_explanation"]
    row = shop.signals("original")
    assert (row["resolution_width"], row["resolution_height"]) == image.size
    assert row["looks_like_screenshot"]


def test_the_original_may_come_last(shop: Shop, run: Any) -> None:
    """An earlier payment that is analysed by a later run takes its place as the first."""
    image = any_receipt("one", "hero").draw()
    shop.add("b", edited(image, "jpeg 60", "s", 0.04), 2)
    shop.add("c", edited(image, "webp 60-95", "s", 0.04), 3)
    run()
    assert shop.signals("c")["first"] == "b"
    shop.add("a", encode(image, "PNG"), 1)
    run()
    assert (shop.signals("b")["first"], shop.signals("c")["first"]) == ("a", "a")


def test_a_failed_screenshot_says_why_and_can_be_retried(
    shop: Shop, run: Any, backfill: Backfill
) -> None:
    """Broken and missing files fail with their reason in both places, and are done when mended."""
    good = encode(any_receipt("one", "hero").draw(), "JPEG", 90)
    shop.add("broken", good[: len(good) // 2])
    shop.add("missing", None)
    shop.add("page", b"<html>Sign in</html>")
    ended = run()
    assert ended.code == ExitCode.FAILED_ITEMS
    assert shop.signals("broken")["analysis_error"].startswith("truncated_picture: ")
    assert shop.signals("page")["analysis_error"].startswith("not_a_picture: ")
    assert shop.signals("missing")["analysis_status"] == "failed"
    for name in ("broken", "missing", "page"):
        (shop.folder / name).write_bytes(good)
    assert run().code == ExitCode.DONE
    assert shop.signals("broken")["analysis_status"] == "failed"
    backfill("retry", "image_signals", "--yes")
    assert run().code == ExitCode.DONE
    row = shop.signals("broken")
    assert (row["analysis_status"], row["analysis_error"]) == ("completed", None)
    assert backfill("verify", "image_signals").code == ExitCode.DONE


def test_exif_of_any_kind_is_read(shop: Shop, run: Any) -> None:
    """An editor is noted, a camera is told from a phone, and malformed EXIF fails nothing."""
    image = any_receipt("one", "hero").draw()
    for name, exif in (
        ("edited", {0x0131: "Adobe Photoshop 25.1", 0x0132: "2024:01:05 10:11:12"}),
        ("camera", {0x010F: "Canon", 0x0110: "EOS 40D"}),
    ):
        tags = Image.Exif()
        tags.update(exif)
        file = io.BytesIO()
        image.save(file, "JPEG", exif=tags)
        shop.add(name, file.getvalue())
    file = io.BytesIO()
    image.save(file, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffrubbish")
    shop.add("malformed", file.getvalue())
    assert run().code == ExitCode.DONE
    row = shop.signals("edited")
    assert (row["exif_source_type"], row["exif_available"]) == ("edited", True)
    assert "photoshop" in row["exif_editor_detected"].lower()
    assert row["exif_creation_date"].isoformat().startswith("2024-01-05T10:11:12")
    assert shop.signals("camera")["exif_source_type"] == "camera"
    assert shop.signals("malformed")["analysis_status"] == "completed"


def test_what_a_person_decided_is_respected_by_later_runs(
    shop: Shop, run: Any, backfill: Backfill
) -> None:
    """A marked pair stays cleared when new payments with the same picture are analysed."""
    image = any_receipt("one", "hero").draw()
    shop.add("a", encode(image, "PNG"), 1)
    shop.add("b", edited(image, "jpeg 60", "s", 0.04), 2)
    run()
    found = backfill("duplicates", "--json").json
    (pair,) = found["pairs"]
    marked = backfill(
        "duplicates", "mark", pair["payment"], pair["duplicate_of"], "--not-duplicate"
    )
    assert marked.code == ExitCode.DONE, marked.err
    shop.add("c", edited(image, "webp 60-95", "s", 0.04), 3)
    run()
    assert not shop.signals("b")["duplicate_detected"]
    assert shop.signals("c")["first"] == "a"


def test_a_dry_run_changes_nothing(shop: Shop, run: Any) -> None:
    """It counts payments with a screenshot, and writes nothing."""
    shop.add("a", encode(any_receipt("one", "hero").draw(), "PNG"), 1)
    ended = run("--dry-run")
    assert ended.code == ExitCode.DONE, ended.err
    assert "1 row to do" in ended.out
    count = shop.connection.execute("select count(*) from payment_image_signals").fetchone()
    assert count == (0,)


def test_nothing_to_do_is_one_line(shop: Shop, run: Any) -> None:
    """A table that is caught up costs no more than saying so."""
    ended = run()
    assert ended.code == ExitCode.DONE
    assert ended.out.splitlines() == ["image_signals: nothing to do"]
