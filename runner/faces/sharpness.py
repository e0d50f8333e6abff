"""Is a face sharp enough to be told from others?

The embeddings of blurred faces draw together: of portraits blurred by 5 % of the face's width, 3 %
of the pairs of different people would be taken for one. So blur is a hazard, and no mere lack.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

LEAST_SHARPNESS = 0.16
"""Lets through all of 61 portraits, 59 blurred by 2 % of the face's width, 22 by 4 %, none by 5 %.
See docs/decisions/local-faces.md."""

FINE, COARSE = 1.5, 4.0
"""Pixels of a cut-out of 150; finer detail is left out, since noise has it too."""

MARGIN = 25
"""Pixels at each side of the cut-out: hair and background."""


def sharpness(chip: npt.NDArray[np.uint8]) -> float:
    """Contrast of fine detail as a share of that of coarse forms, in a cut-out of 150 x 150 RGB.

    A difference of Gaussians, as in Marr and Hildreth, Theory of edge detection (1980). About 0.4
    for a sharp face, 0 for one without any detail.
    """
    gray = Image.fromarray(chip).convert("L")
    fine, coarse = _blurred(gray, FINE), _blurred(gray, COARSE)
    forms = float(coarse.std())
    return float((fine - coarse).std()) / forms if forms else 0.0


def _blurred(gray: Image.Image, radius: float) -> npt.NDArray[np.float64]:
    blurred = np.asarray(gray.filter(ImageFilter.GaussianBlur(radius)), np.float64)
    return blurred[MARGIN:-MARGIN, MARGIN:-MARGIN]
