"""Warm start: the results of an earlier search whose networks are in the space of a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, NasError
from nas.search.directions import MAXIMIZE
from nas.search.log import read_study, read_trials
from nas.search.objectives import Objective, recorded_directions
from nas.search.trial import State
from nas.space import Genotype, SearchSpace

WARM_STARTS = 5
"""Best networks of the earlier search that are evaluated first. The rest of those that the default sampler begins with
are random: only beside random ones do these show whether the earlier results say anything of the new task."""


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """A network of an earlier search, as a genotype of the new space, and its score there."""

    genotype: Genotype
    """In the new space."""
    value: float
    """The first objective in the earlier search; larger is better."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What was decided of its recipe there."""


def earlier_results(folder: Path, space: SearchSpace, objective: Objective | None = None) -> tuple[EarlierResult, ...]:
    """Return the networks of an earlier search that are in a space too, the best first.

    Data and training may have been others: values are only compared among each other.

    Args:
        folder: the run folder of the earlier search.
        space: the new one, made for its data. A network whose input or classes differ is taken over with those of the
            new data, where its decisions allow that.
        objective: of the new search. Where the earlier one had a score of that name, the direction of the new search
            counts.

    Raises:
        ConfigError: no study, or none of its networks is in the space.
    """
    saved = read_study(folder)
    earlier = SearchSpace.from_dict(saved["space"])
    earlier = earlier.for_data(space.input_shape, space.num_classes, task="any")
    objectives = saved["objective"] if isinstance(saved["objective"], list) else [saved["objective"]]
    sign = 1.0 if recorded_directions(saved)[0] == MAXIMIZE else -1.0
    if objective is not None and objective.name == objectives[0]:
        sign = float(objective.sign)
    results: dict[str, EarlierResult] = {}
    done = [trial for trial in read_trials(folder) if trial.state is State.COMPLETED and objectives[0] in trial.scores]
    for trial in done:
        try:
            architecture = earlier.decode(trial.genotype)
            genotype = space.encode(architecture)
        except NasError:  # not in the new space
            continue
        result = EarlierResult(genotype, sign * trial.scores[objectives[0]], trial.recipe)
        known = results.get(architecture.arch_id)
        # Of a network that was trained by several recipes the best one says what it can do.
        if known is None or (trial.recipe and result.value > known.value):
            results[architecture.arch_id] = result
    if not results:
        raise ConfigError(
            f"search.warm_start: none of the {len(done)} networks of {folder} is in space {space.name!r}, so it "
            "teaches nothing"
        )
    return tuple(sorted(results.values(), key=lambda result: -result.value))
