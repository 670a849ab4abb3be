"""The ranges of `pyproject.toml` against releases that nobody should get."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(text)
    for group in (_PROJECT["dependencies"], *_PROJECT["optional-dependencies"].values())
    for text in group
]

BAD_RELEASES = [
    ("pytorch-lightning", "2.6.2", "tampered with: stole credentials, 30 April 2026"),
    ("pytorch-lightning", "2.6.3", "tampered with: stole credentials, 30 April 2026"),
    ("torch", "2.5.1", "CVE-2025-32434: weights_only ran code, mended in 2.6.0"),
    ("torch", "2.9.1", "CVE-2026-24747: weights_only corrupted memory, mended in 2.10.0"),
    ("mlflow", "3.9.0", "CVE-2026-2614: the server showed any file, mended in 3.10.0"),
    ("mlflow", "3.10.1", "CVE-2026-4137: folders that everybody could write, mended in 3.11.0"),
    ("mlflow", "3.11.0", "yanked"),
    ("pillow", "10.0.0", "CVE-2023-4863: libwebp wrote outside its buffer, mended in 10.0.1"),
    ("pillow", "12.1.1", "CVE-2026-42308: overflow in fonts, mended in 12.2.0"),
    ("onnx", "1.20.1", "CVE-2026-27489, -34446, -34447: links led outside the folder, mended in 1.21.0"),
    ("jinja2", "3.1.5", "CVE-2025-27516: templates got out of their sandbox, mended in 3.1.6"),
    ("scikit-learn", "1.4.2", "CVE-2024-5206: TfidfVectorizer kept what it should not, mended in 1.5.0"),
]
"""Name, version, and what is wrong with it, by the advisory of that number."""


@pytest.mark.parametrize(("name", "version", "why"), BAD_RELEASES)
def test_no_range_takes_a_bad_release(name: str, version: str, why: str) -> None:
    ranges = [requirement for requirement in REQUIREMENTS if canonicalize_name(requirement.name) == name]
    assert ranges, f"{name} is no dependency any more: take {version} off the list"
    for requirement in ranges:
        assert not requirement.specifier.contains(version), f"{requirement} takes {version}: {why}"


def test_the_pinned_versions_lie_in_the_ranges() -> None:
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    for requirement in REQUIREMENTS:
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(versions[name]), f"{requirement} leaves out {versions[name]}"


def test_the_audit_names_yanked_and_vulnerable_releases() -> None:
    audit = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
    installed = [
        {"metadata": {"name": "a", "version": "1"}, "is_yanked": True},
        {"metadata": {"name": "b", "version": "2"}, "is_yanked": False},
    ]
    assert audit["yanked"]({"install": installed}) == ["a 1"]
    packages = [
        {"name": "c", "version": "3", "vulns": [{"id": "CVE-1", "fix_versions": ["4"]}]},
        {"name": "d", "version": "5", "vulns": []},
        {"name": "e", "skip_reason": "not there"},
    ]
    assert audit["vulnerable"]({"dependencies": packages}) == (["c 3: CVE-1, mended in ['4']"], 2)
