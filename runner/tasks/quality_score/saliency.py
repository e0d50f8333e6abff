"""Three cheap maps of where a picture differs from the rest of itself, on a thumbnail.

Each takes CIE L*a*b* pixels (height x width x 3) and gives a map of the same height and width
with values 0..1. What else was tried, and how well each does: docs/decisions/.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.float64]

CLUSTERS = 8
CLUSTER_ROUNDS = 8
CLUSTER_SOFTNESS = 6.0
"""In units of L*a*b*: colours this near to two clusters belong to both."""

# sRGB to CIE XYZ with the D65 white point (IEC 61966-2-1).
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.089])


def thumbnail(image: Image.Image, long_side: int) -> Pixels:
    """The picture as L*a*b* pixels, `long_side` of them along its longer side."""
    scale = long_side / max(image.size)
    width, height = (max(8, round(side * scale)) for side in image.size)
    return to_lab(np.asarray(image.resize((width, height), Image.Resampling.BOX)))


def to_lab(rgb: npt.NDArray[np.uint8]) -> Pixels:
    """8-bit sRGB to CIE L*a*b* (L 0..100)."""
    shares = rgb.astype(np.float64) / 255
    linear = np.where(shares > 0.04045, ((shares + 0.055) / 1.055) ** 2.4, shares / 12.92)
    xyz = linear @ _TO_XYZ.T / _WHITE
    cube = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = cube[..., 0], cube[..., 1], cube[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def edges(lab: Pixels) -> Pixels:
    """How much edge there is nearby: subjects are in focus, backgrounds often are not."""
    steps = sum(((np.gradient(lab, axis=axis)) ** 2).sum(axis=-1) for axis in (0, 1))
    return spread(blurred(np.sqrt(steps), 5))


def contrast(lab: Pixels) -> Pixels:
    """How far a pixel's colour is from all colours of the picture (after Cheng, HC, 2011)."""
    height, width, _ = lab.shape
    flat = lab.reshape(-1, 3)
    bins = np.floor(flat / np.array([12, 14, 14])).astype(np.int64)
    _, member, count = np.unique(bins, axis=0, return_inverse=True, return_counts=True)
    member = member.reshape(-1)
    means = np.stack([np.bincount(member, flat[:, i]) / count for i in range(3)], axis=1)
    distance = np.sqrt(((means[:, None] - means[None]) ** 2).sum(axis=-1))
    rare = (distance * count).sum(axis=1) / count.sum()
    weight = np.exp(-(distance**2) / (2 * 10**2)) * count  # similar colours share their value
    smooth: Pixels = (weight * rare).sum(axis=1) / weight.sum(axis=1)
    return spread(blurred(smooth[member].reshape(height, width), 1))


def clusters(lab: Pixels) -> Pixels:
    """Colours that are near the middle and make up little of the frame's border."""
    height, width, _ = lab.shape
    border = np.zeros((height, width), dtype=bool)
    border[[0, -1]] = border[:, [0, -1]] = True
    central = _central(height, width)
    belongs = _soft_k_means(lab.reshape(-1, 3))
    share = belongs.mean(axis=0)
    share_of_border = belongs[border.reshape(-1)].mean(axis=0)
    central_by = belongs.T @ central.reshape(-1) / (belongs.sum(axis=0) * central.mean())
    worth = central_by * np.exp(-0.9 * share_of_border / (share + 0.02))
    return spread(blurred((belongs @ worth).reshape(height, width), 1))


def spread(values: Pixels) -> Pixels:
    """Stretched so that the lowest and highest 2 % become 0 and 1."""
    low, high = np.percentile(values, [2, 98])
    if high - low < 1e-9:
        return np.zeros_like(values)
    stretched: Pixels = (values - low) / (high - low)
    return np.clip(stretched, 0, 1)


def blurred(values: Pixels, radius: float) -> Pixels:
    """A Gaussian blur whose standard deviation is `radius` pixels; edges are repeated."""
    reach = int(3 * radius) + 1
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * radius**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        margin = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(values, margin, mode="edge"), len(kernel), axis=axis
        )
        values = windows @ kernel
    return values


def _central(height: int, width: int) -> Pixels:
    down = (np.arange(height) + 0.5) / height - 0.5
    across = (np.arange(width) + 0.5) / width - 0.5
    away: Pixels = across[None, :] ** 2 + down[:, None] ** 2
    return np.exp(-away / (2 * 0.3**2))


def _soft_k_means(colours: Pixels) -> Pixels:
    """How far each colour belongs to each cluster (colours x clusters, rows add up to 1).

    Begins with colours far apart, so that it needs no chance; soft, so that a small change of
    the picture doesn't tip many pixels over into another cluster at once.
    """
    centres = [colours[((colours - colours.mean(axis=0)) ** 2).sum(axis=1).argmin()]]
    for _ in range(CLUSTERS - 1):
        nearest = np.min([((colours - c) ** 2).sum(axis=1) for c in centres], axis=0)
        centres.append(colours[nearest.argmax()])
    means = np.array(centres)
    belongs = _belongs(colours, means)
    for _ in range(CLUSTER_ROUNDS):
        means = belongs.T @ colours / belongs.sum(axis=0)[:, None]
        belongs = _belongs(colours, means)
    return belongs


def _belongs(colours: Pixels, means: Pixels) -> Pixels:
    distance = ((colours[:, None] - means[None]) ** 2).sum(axis=-1)
    # Relative to the nearest, so that a colour far from all still belongs somewhere.
    weight = np.exp((distance.min(axis=1, keepdims=True) - distance) / (2 * CLUSTER_SOFTNESS**2))
    weight += 1e-12  # no cluster is ever quite empty
    shares: Pixels = weight / weight.sum(axis=1, keepdims=True)
    return shares
