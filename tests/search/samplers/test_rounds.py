"""Several proposals of the default sampler from one look at the trials."""

from __future__ import annotations

import random
from typing import Any

import optuna
import pytest

import nas
from nas.search.samplers import predictor, sampler
from nas.search.samplers.distributions import distribution_of
from nas.search.samplers.genotype_sampler import GenotypeSampler
from nas.search.samplers.surrogate import Surrogate
from tests.search.conftest import SMALL

PAST = 30


def _study(space: nas.SearchSpace) -> tuple[GenotypeSampler, optuna.Study]:
    made = sampler("default", space=space)
    assert isinstance(made, GenotypeSampler)
    study = optuna.create_study(direction="maximize", sampler=made)
    distributions = {path: distribution_of(choice) for path, choice in space.decisions().items()}
    for seed in range(PAST):
        genotype = space.sample(seed=seed)
        its = {path: distributions[path] for path in genotype}
        value = -abs(nas.cost_of(space.decode(genotype)).params - 3000)
        study.add_trial(optuna.create_trial(params=dict(genotype), distributions=its, value=value))
    return made, study


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of trials that surrogates were fitted to."""
    sizes: list[int] = []
    fit = Surrogate.__init__

    def counted(self: Surrogate, *arguments: Any) -> None:
        sizes.append(len(arguments[2]))
        fit(self, *arguments)

    monkeypatch.setattr(Surrogate, "__init__", counted)
    return sizes


def _asked(study: optuna.Study, space: nas.SearchSpace, count: int) -> list[dict[str, Any]]:
    return [space.suggest(study.ask()) for _ in range(count)]


def test_one_fit_does_for_all_that_are_expected(fits: list[int]) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    made, study = _study(space)
    made.expect(5)
    genotypes = _asked(study, space, 5)
    assert fits == [PAST]
    networks = [space.decode(genotype).arch_id for genotype in genotypes]
    past = {space.decode(space.sample(seed=seed)).arch_id for seed in range(PAST)}
    assert len(set(networks)) == 5
    assert not past & set(networks)
    _asked(study, space, 2)
    assert fits == [PAST] * 3, "each of those after them has its own fit"


def test_the_first_of_several_is_what_would_be_proposed_alone(fits: list[int]) -> None:
    space = nas.SearchSpace.from_dict(SMALL)
    _, alone = _study(space)
    made, several = _study(space)
    made.expect(4)
    assert _asked(several, space, 1) == _asked(alone, space, 1)
    made.expect(1)
    _asked(several, space, 1)
    assert len(fits) == 3, "what was not asked for of several is forgotten"
    made.expect(4)
    _asked(several, space, 1)
    _, other = _study(space)
    other.sampler = made
    _asked(other, space, 2)
    assert len(fits) == 6, "also in another study"


def test_what_is_new_is_proposed_where_all_children_are_taken(monkeypatch: pytest.MonkeyPatch, fits: list[int]) -> None:
    monkeypatch.setattr(predictor, "_NUM_CHILDREN", 2)
    monkeypatch.setattr(predictor, "_MAX_JUDGED", 2)
    space = nas.SearchSpace.from_dict(SMALL)
    made, study = _study(space)
    made.expect(8)
    networks = [space.decode(genotype).arch_id for genotype in _asked(study, space, 8)]
    assert len(set(networks)) == 8
    assert 2 <= len(fits) <= 8


def test_each_of_several_counts_as_pending_for_those_after_it() -> None:
    """As by definition: the same surrogates, believing in what was taken, over the same children."""
    space = nas.SearchSpace.from_dict(SMALL)
    made, study = _study(space)
    study.ask()  # is read as the trial that is decided, whose decisions are not known
    history = made._history
    history.read(study, study.trials[-1])
    domain, rng = made._domain, random.Random(0)
    acquisition = predictor._Acquisition(history, domain)
    children = predictor._children(domain, acquisition.best(20), rng)
    gains = acquisition(children)
    round_ = predictor._Round(acquisition, children, gains)
    first = round_.best
    domain.mark_tried(PAST, first)
    second = round_.next(domain)
    believing = acquisition.believing(acquisition.features([first]))
    left = [child for child in children if domain.is_new(child)]
    assert first not in left
    expected = believing(left)
    assert second is left[int(expected.argmax())]
    # What is like the first one is judged lower than before; without believing nothing would be.
    before = acquisition(left)
    assert (expected < before * 0.999).any()
