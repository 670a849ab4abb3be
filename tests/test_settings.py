"""Plain values to dataclasses, every name and type checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from nas.errors import ConfigError, nearest
from nas.settings import as_recorded, setting, settings_from


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    flag: bool = False
    workers: int | str = "auto"
    inner: Inner = field(default_factory=Inner)
    free: Mapping[str, Any] = field(default_factory=dict)
    places: list[int] | None = None


def test_values_become_fields() -> None:
    found = settings_from(
        Outer, {"name": "a", "workers": 3, "inner": {"rate": 1, "count": 1e3}, "free": {"anything": [1]}}
    )
    assert found == Outer(name="a", workers=3, inner=Inner(rate=1.0, count=1000), free={"anything": [1]})
    assert isinstance(found.inner.rate, float)
    assert isinstance(found.inner.count, int)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nane": "a"}, "unknown setting 'nane'. Did you mean 'name'"),
        ({"name": "a", "rate": 1}, "unknown setting 'rate'. Did you mean 'inner.rate'"),
        ({"name": "a", "inner": {"rat": 1}}, "unknown setting 'inner.rat'. Did you mean 'rate'"),
        ({"name": 3}, "name must be text, but got 3"),
        ({"name": "a", "flag": 1}, "flag must be true or false, but got 1"),
        ({"name": "a", "inner": {"count": True}}, "inner.count must be a whole number or null, but got True"),
        ({"name": "a", "inner": {"count": 1.5}}, "inner.count must be a whole number or null, but got 1.5"),
        ({"name": "a", "inner": {"rate": "x"}}, "inner.rate must be a number, but got 'x'"),
        ({"name": "a", "inner": 3}, "inner must be a mapping, but got 3"),
        ({"name": "a", "free": 3}, "free must be a mapping, but got 3"),
        ({}, "config: name is missing"),
        ({"name": "a", "places": [1, "x"]}, r"places\[1\] must be a whole number, but got 'x'"),
        ({"name": "a", "places": 3}, "places must be a list or null, but got 3"),
        (None, "config must be a mapping"),
    ],
)
def test_what_does_not_fit(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from(Outer, values)


def test_nearest_names() -> None:
    assert nearest("kernle", ["kernel", "stride"]) == "Did you mean 'kernel'?"
    assert nearest("x", ["b", "a"]) == "Known: a, b."
    assert nearest("x", []) == "Known: none."


@dataclass(frozen=True, kw_only=True)
class Younger:
    scheme: int = setting(2, "was another before it could be said", before=1)
    count: int = setting(3, "has always been the same")


@dataclass(frozen=True, kw_only=True)
class Around:
    inner: Younger = setting(Younger, "a group")


def test_a_record_older_than_a_setting_has_what_was_done_then() -> None:
    for recorded, scheme in (({}, 1), ({"scheme": 2}, 2), ({"scheme": 1, "count": 5}, 1)):
        kept = dict(recorded)
        assert settings_from(Younger, as_recorded(Younger, recorded)).scheme == scheme
        assert settings_from(Around, as_recorded(Around, {"inner": recorded})).inner.scheme == scheme
        assert recorded == kept
    assert settings_from(Younger, {}).scheme == 2
    assert as_recorded(Around, {}) == {}  # a group that is not there was not recorded
