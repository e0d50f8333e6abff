"""Pictures: the one place that turns bytes of unknown origin into pixels."""

from runner.pictures.decode import DEFAULT_MAX_PIXELS, Picture, decode
from runner.pictures.measures import brightness

__all__ = ["DEFAULT_MAX_PIXELS", "Picture", "brightness", "decode"]
