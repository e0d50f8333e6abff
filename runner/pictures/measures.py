"""What is measured of a decoded picture."""

from __future__ import annotations

from PIL import Image, ImageStat


def brightness(image: Image.Image) -> float:
    """The mean of all R, G and B values of an RGB picture, 0..255."""
    means = ImageStat.Stat(image).mean
    return sum(means) / len(means)
