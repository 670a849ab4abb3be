"""Elements of HTML and SVG whose text and attributes are escaped, and numbers as people read them."""

from __future__ import annotations

from math import floor, isfinite, log10

from markupsafe import Markup, escape

from nas.errors import plain

_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element of HTML or SVG.

    Args:
        name: of the element.
        children: `Markup` is taken as it is, everything else is shown as text.
        attributes: `class_` becomes `class`, `stroke_width` `stroke-width`; those that are None are left out, numbers
            have one decimal at most.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(child if isinstance(child, Markup) else plain(str(child))) for child in children)
    return Markup(f"<{name}{given}>{inner}</{name}>")


def _attribute(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    text = str(value)
    return str(escape(plain(text, longest=len(text))))  # a path has thousands of characters


def compact(value: float) -> str:
    """Return a number in three digits or so, such as `1.25M` or `0.0042`; what is no finite number as `n/a`."""
    if not isfinite(value):
        return "n/a"
    size = abs(value)
    for unit, suffix in _SUFFIXES:
        if size >= unit * 0.9995:
            return f"{_digits(value / unit)}{suffix}"
    return _digits(value)


def _digits(value: float, digits: int = 3) -> str:
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - floor(log10(abs(value))))
    text = f"{value:.{min(decimals, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def score_text(value: float) -> str:
    """Return a score with four digits behind the point, or of a large one with four digits."""
    if not isfinite(value):
        return "n/a"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def percent(share: float) -> str:
    """Return a share in whole per cents; one that is smaller, but not 0, as less than one."""
    if not isfinite(share):
        return "n/a"
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
