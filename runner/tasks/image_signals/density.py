"""How much text there seems to be in a picture, from strong steps of luminance along its rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

SHORT_SIDE = 360
"""Pixels that a picture is reduced to. Phones' screens are 360 to 430 units wide (Android's dp,
iOS's points), so text has about its nominal size. Smaller pictures are not enlarged; a screenshot
of 720 pixels' width that somebody halved is just large enough."""

STRONG = 40
"""Levels of 255. Strokes of gray 12-unit text on white make more; what JPEG adds at quality 60
around letters makes less."""

FLAT = 8
"""Levels of 255. A step of no more is background: JPEG's noise and colour gradients stay below."""

FULL = 0.10
"""The share of strong steps that scores 100: a page full of text has more, an ordinary receipt a
fifth to a half of it."""

LEAST_CLEAN, CLEAN = 0.2, 0.5
"""The share of strong steps among all that are not flat, below which nothing counts as text and
from which on everything does. There is nothing between letters, also at JPEG quality 60; most
steps of a photograph are faint, except in foliage and fences, where hardly anything is flat."""

BAND = 90
"""Rows that are judged together: a photograph below a receipt must not hide the receipt."""


def text_density(image: Image.Image) -> int:
    """A score of 0..100 for an upright picture; 0 is none, a page full of text has 100.

    A step is the difference of luminance (ITU-R BT.601) between neighbours in a row, after the
    picture was reduced to `SHORT_SIDE`. A band's strong steps count by how cleanly they stand out
    and by how much of the band is flat: with `clean` their share among the steps above `FLAT`, and
    `flat` the share of all steps that are not, each counts

        flat * clamp((clean - LEAST_CLEAN) / (CLEAN - LEAST_CLEAN), 0, 1)

    The score is 100 where this adds up to a share of `FULL` of all steps, and in proportion below.
    The constants were chosen on eight drawn payment apps and on photographs:
    `python -m tests.bench.text_density` prints their scores. It sees how busy a picture is with
    text-like detail, and reads nothing.
    """
    steps = _steps(image)
    bands = np.arange(0, len(steps), BAND)
    strong = np.add.reduceat(np.count_nonzero(steps >= STRONG, axis=1), bands)
    visible = np.add.reduceat(np.count_nonzero(steps > FLAT, axis=1), bands)
    every = np.diff(bands, append=len(steps)) * max(steps.shape[1], 1)
    clean = strong / np.maximum(visible, 1)
    text_like = np.clip((clean - LEAST_CLEAN) / (CLEAN - LEAST_CLEAN), 0, 1)
    counted = strong * text_like * (1 - visible / every)
    return round(100 * min(float(counted.sum() / every.sum()) / FULL, 1.0))


def _steps(image: Image.Image) -> npt.NDArray[np.int16]:
    luminance = image.convert("L")
    factor = SHORT_SIDE / min(luminance.size)
    if factor < 1:
        size = (round(luminance.width * factor), round(luminance.height * factor))
        luminance = luminance.resize(size, Image.Resampling.BOX)
    return np.abs(np.diff(np.asarray(luminance, dtype=np.int16), axis=1))
