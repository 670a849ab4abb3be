"""Samplers by name. All are `optuna.samplers.BaseSampler` and work in a plain Optuna study."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import NoneType
from typing import Any

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler

from nas.errors import ConfigError, check_function, check_kind, nearest
from nas.search.samplers.domain import Params
from nas.search.samplers.evolution import RegularizedEvolutionSampler
from nas.search.samplers.genotype_sampler import GenotypeSampler
from nas.search.samplers.grid import GridSampler
from nas.search.samplers.local import LocalSearchSampler
from nas.search.samplers.predictor import PredictorSampler
from nas.search.samplers.space_domain import Examine
from nas.search.samplers.uniform import UniformSampler
from nas.space import SearchSpace
from nas.training.recipe_decisions import NOTHING_DECIDED, RecipeDecisions

DEFAULT = "predictor"


def _multivariate_tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # Groups: decisions that always come together are sampled together, so that conditional spaces are too.
        return TPESampler(seed=seed, multivariate=True, group=True)


def _nsga3(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return NSGAIIISampler(seed=seed)


def _gp(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return GPSampler(seed=seed, independent_sampler=RandomSampler(seed=seed), warn_independent_sampling=False)


OURS: Mapping[str, type[GenotypeSampler]] = {
    "predictor": PredictorSampler,
    "evolution": RegularizedEvolutionSampler,
    "local": LocalSearchSampler,
    "grid": GridSampler,
    "uniform": UniformSampler,
}
"""Those that propose whole genotypes."""
OPTUNA: Mapping[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed),
    "tpe_multivariate": _multivariate_tpe,
    "gp": _gp,
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga3": _nsga3,
}


def sampler_names() -> list[str]:
    """Return the names that `sampler` takes."""
    return ["default", *OURS, *OPTUNA]


def sampler(
    name: str = "default",
    seed: int = 0,
    *,
    space: SearchSpace | None = None,
    examine: Examine | None = None,
    prior: Sequence[tuple[Params, float]] = (),
    recipe: RecipeDecisions = NOTHING_DECIDED,
    **options: Any,
) -> BaseSampler:
    """Return a sampler by name.

    Args:
        name: one of `sampler_names`; default is `predictor`.
        seed: the same seed gives the same proposals.
        space: the space to be searched. The project's own samplers then mutate as it allows, count what each proposal
            costs and make none over its limits; without it they learn from the trials which decisions there are.
        examine: checks genotypes (`nas.space.feasible.examine`) against other limits than those of the space.
        prior: for `predictor`: genotypes with their values in an earlier search (larger is better, on any scale).
        recipe: with a space: what is decided of the recipe beside the network.
        options: of the sampler: `population` and `tournament` of `evolution`.

    Raises:
        ConfigError: unknown name or option.
    """
    names = sampler_names()
    if name not in names:
        raise ConfigError(f"sampler: unknown {name!r}. {nearest(name, names)}")
    check_kind("sampler: space", space, (SearchSpace, NoneType), "a SearchSpace, or None", ConfigError)
    check_kind("sampler: prior", prior, (list, tuple), "a list of genotypes, each with a number", ConfigError)
    check_function("sampler: examine", examine)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = DEFAULT if name == "default" else name
    make: Callable[..., BaseSampler] = OPTUNA[name] if name in OPTUNA else OURS[name]
    if name in OURS:
        make = partial(make, space=space, examine=examine, prior=prior, recipe=recipe)
    try:
        return make(seed, **options)
    except TypeError:
        raise ConfigError(f"sampler {name} has no options {sorted(options)}") from None


def proposer(
    name: str,
    seed: int,
    space: SearchSpace,
    examine: Examine,
    *,
    prior: Sequence[tuple[Params, float]] = (),
    recipe: RecipeDecisions = NOTHING_DECIDED,
    options: Mapping[str, Any] | None = None,
) -> BaseSampler | Callable[[int], BaseSampler]:
    """Return what a search asks for proposals: a sampler of the project, or what makes one of Optuna's from a seed.

    The project's own depend on nothing but seed and trials. Optuna's have a state, which a search that is resumed in
    another process would lack, so that each proposal has a sampler of its own.

    Args:
        name: one of `sampler_names`.
        seed: of the project's own; each of Optuna's has the seed that it is made from.
        space: the space to be searched.
        examine: checks genotypes against the limits of the search.
        prior: genotypes with their values in an earlier search.
        recipe: what is decided of the recipe beside the network.
        options: of the sampler.

    Raises:
        ConfigError: unknown name or option.
    """
    options = options or {}
    made = sampler(name, seed, space=space, examine=examine, prior=prior, recipe=recipe, **options)
    return made if isinstance(made, GenotypeSampler) else lambda derived: sampler(name, derived, **options)
