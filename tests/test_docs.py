"""What the documentation points at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(text: Path) -> None:
    targets = _LINK.findall(text.read_text())
    assert [target for target in targets if not (text.parent / target).exists()] == []


def test_the_tour_shows_the_spine() -> None:
    """Its files are those that a search runs through, in an order that never leads up before down."""
    files = _LINK.findall((ROOT / "docs" / "tour.md").read_text())
    spine = ["network/architecture.py", "cost/cost.py", "space/space.py", "search/run.py", "search/driver.py"]
    places = [files.index(f"../nas/{name}") for name in spine]
    assert places == sorted(places)
