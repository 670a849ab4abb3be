"""Pages from templates, every text escaped, with style and script inside and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import nas
from nas.errors import plain

_LONGEST = 200_000
"""Characters of a text, such as all settings, at most."""
_TEMPLATES = Path(__file__).with_name("templates")


def _visible(value: object) -> object:
    """Return text whose controls and halves of characters are escaped; it is then escaped as HTML."""
    return value if isinstance(value, Markup) else plain(str(value), longest=_LONGEST)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _asset(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _policy(script: str) -> str:
    """Return a content security policy under which nothing is loaded, and no script runs but ours."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def render(template: str, title: str, *, reload_seconds: float | None = None, **values: Any) -> str:
    """Return a page.

    Args:
        template: name of a file in `templates`.
        title: of the page.
        reload_seconds: after which an open page reads itself again; None: never.
        values: what the template shows: text is escaped, `Markup` is not.
    """
    script = _asset("script.js")
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            reload_seconds=None if reload_seconds is None else ceil(reload_seconds),
            style=_asset("style.css"),
            script=script,
            policy=_policy(str(script)),
            version=nas.__version__,
            **values,
        )
    )
