"""Pictures of the report and of MLflow's pages, and whether the report is as quiet as it must be.

    nas search +space=mbconv records.uri=http://127.0.0.1:5000 name=digits && nas finish runs/digits
    python -m benchmarks.screenshots runs/digits --out docs/screenshots

The report is taken at 400 and at 1,600 pixels, light and dark; the script ends with an error where its console has
one, where it asks for anything but itself, or where it is wider than the window. Of MLflow, on the server that the run
was recorded on: the page that the search prints, that of the study, of any rejected trial, of the finish and of the
model that it recommends. Needs Chromium.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.browser import Browser
from nas.records.browsing import page_of, recorded_in
from nas.records.store import open_store
from nas.records.view import STUDY_TAG, TRIAL_TAG, run_page
from nas.run_folder import FINISH

WIDTHS = (400, 1600)
_SETTLE = 3.0
"""Seconds after which MLflow's pages have drawn their tables and charts."""

_CLOSE_ASSISTANT = """
for (const button of document.querySelectorAll("button"))
  if (/close/i.test(button.ariaLabel || "") && button.getBoundingClientRect().left > 1400) button.click()
"""
"""MLflow's assistant takes a quarter of the window until somebody closes it."""


@dataclass(frozen=True)
class Shot:
    """A page of MLflow."""

    name: str
    """Of the file."""
    path: str
    """Behind the address of the server."""
    shows: str
    """A text that is there when the page is."""


def take_report(report: Path, out: Path) -> None:
    """Take the report; raises `SystemExit` where it is not quiet or too wide."""
    for width in WIDTHS:
        for dark in (False, True):
            with Browser(width=width, dark=dark) as browser:
                browser.open(report.absolute().as_uri())
                others = [address for address in browser.requests if not address.startswith(("file:", "data:"))]
                wide = browser.value("document.documentElement.scrollWidth")
                if browser.errors or others or wide > width:
                    raise SystemExit(f"{report} at {width} pixels: {browser.errors}, {others}, {wide} pixels wide")
                browser.picture(out / f"report-{width}-{'dark' if dark else 'light'}.png", whole=True)
                print(f"{report} at {width} pixels: no error, {len(browser.requests)} request")


def mlflow_pages(run: Path) -> tuple[str, list[Shot]]:
    """Return the server that has a run, and the pages of it that are taken."""
    recorded = recorded_in(run)
    if recorded.server is None:
        raise SystemExit(f"{run} is on no MLflow server: search with records.uri=http://...")
    client = open_store(recorded.root, recorded.server).client
    shots = [Shot("mlflow-search", page_of(recorded), "trial 0")]
    experiments = [str(one.experiment_id) for one in client.search_experiments()]
    whose = f"tags.`{STUDY_TAG}` = '{recorded.study_id}'"
    for name, condition in (
        ("study", f"{whose} AND tags.`{TRIAL_TAG}` = 'study'"),
        ("rejected", "tags.state = 'rejected'"),  # of any search: most samplers propose what holds the limits
        ("finish", f"tags.`{STUDY_TAG}` = '{recorded.study_id}-{FINISH}' AND tags.`{TRIAL_TAG}` = 'study'"),
    ):
        for found in client.search_runs(experiments, condition, max_results=1):
            page = run_page(found.info.experiment_id, found.info.run_id)
            shots.append(Shot(f"mlflow-{name}", page, str(found.info.run_name)))
    shots += _models(client, experiments, f"tags.`{STUDY_TAG}` = '{recorded.study_id}-{FINISH}'")
    return recorded.server, shots


def _models(client: Any, experiments: list[str], condition: str) -> Iterator[Shot]:
    for model in client.search_logged_models(experiments, condition):
        if model.tags["recommended"] == "yes":
            path = f"/#/experiments/{model.experiment_id}/models/{model.model_id}?workflowType=machine_learning"
            yield Shot("mlflow-model", path, model.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a search, which was recorded on an MLflow server")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    take_report(options.run / "report.html", options.out)
    server, shots = mlflow_pages(options.run)
    for shot in shots:
        with Browser(width=1600) as browser:
            there = f"document.body.innerText.includes({shot.shows!r})"
            took = browser.open(f"{server}{shot.path}", there, settle=_SETTLE)
            browser.value(_CLOSE_ASSISTANT)
            browser.wait(_SETTLE)
            browser.picture(options.out / f"{shot.name}.png")
            print(f"{shot.name}: {took:.1f} s", flush=True)


if __name__ == "__main__":
    main()
