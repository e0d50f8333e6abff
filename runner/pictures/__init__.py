"""Pictures: the one place that turns bytes of unknown origin into pixels."""

from runner.pictures.decode import DEFAULT_MAX_PIXELS, Inspected, Picture, decode, inspect
from runner.pictures.measures import brightness

__all__ = ["DEFAULT_MAX_PIXELS", "Inspected", "Picture", "brightness", "decode", "inspect"]
