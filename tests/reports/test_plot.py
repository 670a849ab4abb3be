"""Scales, ticks and numbers of charts."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest

from nas.reports.markup import compact, element, percent
from nas.reports.plot import Scale, chart, line, mark, scale_for, steps


def test_a_scale_maps_ends_middle_and_what_is_beyond() -> None:
    linear, log = Scale(0, 10, 100, 200), Scale(1, 100, 0, 50, log=True)
    assert [linear(value) for value in (-5, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]
    assert [log(value) for value in (1, 10, 100)] == pytest.approx([0, 25, 50])


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.82, 0.87], ["0.82", "0.83", "0.84", "0.85", "0.86", "0.87"]),
        ([0, 100], ["0", "20", "40", "60", "80", "100"]),
        ([1e5, 2e7], ["100k", "200k", "500k", "1M", "2M", "5M", "10M", "20M"][::2]),
        ([5, 5], ["4.8", "4.9", "5.0", "5.1", "5.2"]),
        ([], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([math.nan, 1.0, 3.0], ["1.0", "1.5", "2.0", "2.5", "3.0"]),
    ],
)
def test_ticks_are_round_and_tell_values_apart(values: list[float], labels: list[str]) -> None:
    scale = scale_for(values, 0, 100)
    shown = scale.labels()
    assert len(set(shown)) == len(shown) >= 3
    if not scale.log:
        assert shown == labels


def test_log_ticks_lie_inside_and_are_few() -> None:
    scale = scale_for([130, 9e6], 0, 300)
    assert scale.log
    assert 3 <= len(scale.ticks) <= 6
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)


def test_labels_along_the_bottom_do_not_touch() -> None:
    drawn = str(chart([0, 123456], [0, 1], "x", "y", x_log=False).draw([], "d"))
    labels = re.findall(r'<text x="([\d.]+)" y="226" class="tick middle">([^<]+)</text>', drawn)
    assert len(labels) >= 3
    ends = [(float(x) - 3.1 * len(text), float(x) + 3.1 * len(text)) for x, text in labels]
    assert all(left[1] < right[0] for left, right in pairwise(ends))


def test_a_line_of_steps_keeps_its_height_until_the_next_point() -> None:
    area = chart([0, 10], [0, 10], "x", "y", x_log=False)
    path = str(steps(area, [(0, 0), (10, 10)], "c"))
    at = [area.x(0), area.y(0), area.x(10), area.y(10)]
    assert path == f'<path d="M{at[0]:.1f} {at[1]:.1f}H{at[2]:.1f}V{at[3]:.1f}" class="c"></path>'


def test_a_long_line_is_drawn_whole() -> None:
    area = chart([0, 5000], [0, 1], "x", "y", x_log=False)
    path = str(line(area, [(i, i % 2) for i in range(5000)], "c"))
    assert len(re.findall(r"[\d.]+ [\d.]+", path)) == 5000


def test_text_and_attributes_are_escaped() -> None:
    nasty = "\"><script>&'"
    assert str(element("text", nasty, class_=nasty)) == (
        '<text class="&#34;&gt;&lt;script&gt;&amp;&#39;">&#34;&gt;&lt;script&gt;&amp;&#39;</text>'
    )
    assert "<script>" not in str(mark(1, 2, "circle", "dot", label=nasty))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234, "1.23k"),
        (999_999, "1M"),
        (54_114, "54.1k"),
        (0.00425, "0.00425"),
        (math.inf, "n/a"),
        (12, "12"),
    ],
)
def test_compact_numbers(value: float, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0 %"), (0.004, "< 1 %"), (0.25, "25 %"), (1.204, "120 %")])
def test_per_cents(share: float, text: str) -> None:
    assert percent(share) == text


def test_numbers_too_large_to_reckon_with_stretch_no_axis() -> None:
    for log in (None, True, False):
        scale = scale_for([1e308, -1e308, 1.0, 2.0], 0, 100, log=log)
        assert 0 <= scale.low < 1
        assert 2 < scale.high <= 3
        assert scale(1e308) == 100
        assert scale(-1e308) == 0
    assert all(map(math.isfinite, scale_for([1e-320, 1e100], 0, 100, log=True).ticks))
    assert scale_for([1e308], 0, 100).labels()
