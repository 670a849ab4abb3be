"""The settings files name every metric."""

from __future__ import annotations

import yaml

from nas.cost import SEARCH_METRICS
from nas.resources import resource_dir


def test_every_metric_can_be_given_on_the_command_line() -> None:
    settings = yaml.safe_load((resource_dir("conf") / "search.yaml").read_text())
    assert set(settings["constraints"]) == set(settings["soft"]) == set(SEARCH_METRICS)
