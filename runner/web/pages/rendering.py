"""Templates, and what every page of the console has."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from runner.redaction import printable, redact
from runner.web.pages import words
from runner.web.pages.forms import csrf_token


def html(
    request: Request,
    template: str,
    *,
    status: int = 200,
    trouble: dict[str, Any] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page. `trouble` is what went wrong: `text`, and `errors` of fields (name, label, text)."""
    query = request.query_params
    text = _environment().get_template(template).render(
        me=getattr(request.state, "principal", None),
        said=None if trouble else words.said(query.get("said"), query.get("number")),
        trouble={"errors": [], **trouble} if trouble else None,
        place=values.pop("place", ""),
        now=datetime.now(UTC),
        csrf_field=lambda: _csrf_field(request),
        **values,
    )  # fmt: skip
    # with `no-referrer` browsers send no origin along with a form, and it is checked
    return HTMLResponse(text, status, {"Referrer-Policy": "same-origin"})


def preload() -> None:
    """Read every template now: an upgrade under a running server is to break no page."""
    for name in _environment().list_templates():
        _environment().get_template(name)


def _csrf_field(request: Request) -> Markup:
    return Markup('<input type="hidden" name="csrf" value="{}">').format(csrf_token(request))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("runner.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for name in ("number", "percent", "dollars", "duration", "ago", "amount", "iso", "shown",
                 "clock", "sentence", "details", "shares", "budget_words"):  # fmt: skip
        environment.filters[name] = getattr(words, name)
    environment.filters["redacted"] = lambda text: printable(redact(text or ""))
    return environment
