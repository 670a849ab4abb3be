"""Pages in a real browser, where it is installed: nothing is loaded, nothing runs but our script, nothing overflows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.reports.write import write_report
from tests.logs import rewrite
from tests.reports import chromium
from tests.reports.studies import NASTY, NASTY_NAME, searched

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.found() is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    searched(run, trials=150, constraints={"params": 15_000}, baseline_fraction=0.2)
    saved = json.loads((run / "study.json").read_text())
    saved["space"]["name"], saved["sampler"] = NASTY_NAME, NASTY
    saved["notes"] = {"data": {"name": NASTY}, "versions": {NASTY: NASTY}}
    (run / "study.json").write_text(json.dumps(saved))
    rewrite(run / "trials.jsonl", lambda _, values: {**values, "reason": NASTY, "design": NASTY})
    return write_report([run])[0]


@pytest.mark.parametrize("width", [400, 800, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_without_errors_requests_or_overflow(
    tab: chromium.Browser, page: Path, width: int, dark: bool
) -> None:
    tab.open(page, width=width, dark=dark)
    assert tab.problems() == []
    assert tab.requests() == []
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value("typeof window.hacked") == "undefined"
    colour = tab.value("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(20, 24, 30)" if dark else "rgb(255, 255, 255)")


def test_texts_of_charts_do_not_overlap_on_a_narrow_screen(tab: chromium.Browser, page: Path) -> None:
    tab.open(page, width=400)
    overlaps = tab.value(
        """[...document.querySelectorAll('svg.chart')].flatMap((chart) => {
          const texts = [...chart.querySelectorAll('text')];
          const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
          const frame = chart.getBoundingClientRect();
          return boxes.flatMap(([text, a], i) => [
            ...(a.left < frame.left - 1 || a.right > frame.right + 1 ? [`${text} is cut`] : []),
            ...boxes.slice(i + 1).filter(([, b]) =>
              a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom
            ).map(([other]) => `${text} and ${other}`)]);
        })"""
    )
    assert overlaps == []
    assert (
        tab.value(
            "Math.min(...[...document.querySelectorAll('svg.chart text')].map(t => t.getBoundingClientRect().height))"
        )
        > 9
    )


def test_the_table_is_sorted_and_filtered(tab: chromium.Browser, page: Path) -> None:
    tab.open(page)
    trials = tab.value("document.querySelectorAll('#trials tbody tr').length")
    shown = "[...document.querySelectorAll('#trials tbody tr')].filter(row => !row.hidden)"
    assert tab.value(f"{shown}.length") == 100 < trials
    column = "[...document.querySelectorAll('#trials th')].findIndex(head => head.textContent === 'params')"
    for sign in (1, -1):
        tab.value(f"document.querySelectorAll('#trials th button')[{column}].click()")
        values = tab.value(f"{shown}.map(row => Number(row.cells[{column}].textContent.replaceAll(',', '')))")
        assert values == sorted(values, key=lambda value: sign * value)
    tab.value("document.getElementById('more').click()")
    assert tab.value(f"{shown}.length") == trials
    rejected = tab.value(
        "[...document.querySelectorAll('#trials tbody tr')].filter(r => r.cells[1].textContent === 'rejected').length"
    )
    tab.value(
        "const box = document.getElementById('filter'); box.value = 'rejected'; box.dispatchEvent(new Event('input'))"
    )
    assert tab.value(f"{shown}.length") == rejected > 0


def test_a_mark_tells_of_its_trial(tab: chromium.Browser, page: Path) -> None:
    tab.open(page)
    number = tab.value(
        """(() => { const mark = document.querySelector('.dot[data-trial]');
        mark.dispatchEvent(new PointerEvent('pointerover', {bubbles: true, clientX: 50, clientY: 50}));
        return mark.dataset.trial; })()"""
    )
    tip = tab.value("document.getElementById('tip').textContent")
    assert f"trial: {number}\n" in tip
    assert tab.value("document.getElementById('tip').children.length") == 0
    tab.value("document.querySelector('.dot[data-trial]').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert tab.value("document.querySelector('tr.chosen').dataset.row") == number


def test_it_prints(tab: chromium.Browser, page: Path, tmp_path: Path) -> None:
    tab.open(page, dark=True)
    tab.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
