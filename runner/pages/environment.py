"""The templates of pages; whatever is written into one is escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, style: str, **values: Any) -> str:
    """The page that a template makes, with its style sheet in it.

    `style_hash` is for the page's Content-Security-Policy: no other style holds, and no script.
    """
    sheet = _style(style)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    page = _environment().get_template(template)
    # the sheet is the package's own; escaped, a browser would not read it
    return page.render(style=Markup(sheet), style_hash=f"sha256-{digest}", **values)  # noqa: S704


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("runner.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _style(name: str) -> str:
    return (files("runner.pages") / "templates" / name).read_text(encoding="utf-8")
