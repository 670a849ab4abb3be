"""Checks the arguments of `run_search` before anything is begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike

from nas.cost import Workload
from nas.errors import ConfigError
from nas.evaluation import Budget
from nas.latency.deployment import Deployment
from nas.search.budgets.pruning import Pruning
from nas.search.log import RunFolder
from nas.search.settings import SamplerSettings, Settings
from nas.space import SearchSpace


def _of(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


def _or_none(holds: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or holds(value)


def _has(*needed: str) -> Callable[[object], bool]:
    return lambda value: all(hasattr(value, name) for name in needed)


def _named(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


_METHODS = ("begin", "proposed", "paused", "ended", "end")


def _recorders(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(_has(*_METHODS), value))


_PATH = _of(str, PathLike)
_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "space": (_of(SearchSpace), 'a SearchSpace, as nas.load_space("mbconv") gives'),
    "evaluator": (
        callable,
        "a function or another object that can be called, of (architecture, budget, seed)",
    ),
    "settings": (_of(Settings), "a nas.search.settings.Settings"),
    "sampler": (_of(str, SamplerSettings), "the name of a sampler, or an Optuna sampler"),
    "sampler_options": (_or_none(_named), "a mapping from names to values, or None"),
    "budget": (_or_none(_of(Budget)), "a nas.Budget, as nas.Budget(epochs=3), or None"),
    "pruner": (_of(str, Pruning), "the name of a pruner, or a Pruning"),
    "workload": (_of(Workload), "a Workload"),
    "deployment": (_or_none(_of(Deployment)), "a Deployment, as nas.latency.deployment.deployment gives, or None"),
    "profile": (_or_none(_has("interval", "why_not", "reference_ms")), "a DeviceProfile, or None"),
    "warm_start": (_or_none(_PATH), "the path of a run folder, or None"),
    "run_dir": (_or_none(lambda value: _PATH(value) or isinstance(value, RunFolder)), "the path of a folder, or None"),
    "resume": (_of(bool), "True or False"),
    "notes": (_or_none(_named), "a mapping from names to plain values, or None"),
    "recorders": (_recorders, "a list of recorders, each with the methods of nas.search.recording.Recorder"),
    "pool": (
        _has("free", "describe", "submit", "wait", "paused", "now", "listen", "running", "end", "close"),
        "a pool with the methods of nas.workers.pool.Pool",
    ),
}


def check_kinds(**arguments: object) -> None:
    """Raise `ConfigError` for an argument of another kind than `_RULES` states for its name."""
    for name, value in arguments.items():
        holds, what = _RULES[name]
        if not holds(value):
            raise ConfigError(f"run_search: {name} must be {what}, but got {value!r:.80}")


def kinds_in(changes: Mapping[str, object]) -> dict[str, object]:
    """Return the settings given by name whose kind `check_kinds` knows."""
    return {name: value for name, value in changes.items() if name in _RULES}
