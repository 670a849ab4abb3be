"""What the winner of a search is compared with: the candidates of each baseline, written down before any is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from nas.cost import LATENCY, Constraint, check, cost_of, held_cost, violation
from nas.errors import DeviceError
from nas.finishing.bench import Contestant
from nas.finishing.folder import CANDIDATES, seconds_by_name
from nas.finishing.published import published_candidates
from nas.finishing.searched import Searched
from nas.finishing.settings import NONE, PUBLISHED, RANDOM, FinishSettings
from nas.finishing.study import Rival, Say
from nas.finishing.time_limit import in_words
from nas.network.architecture import Architecture
from nas.run_folder import read_json, write_whole
from nas.search.gate import Gate
from nas.seeds import derived_seed

KINDS: Mapping[str, Sequence[str]] = {PUBLISHED: (PUBLISHED,), RANDOM: (PUBLISHED, RANDOM), NONE: ()}
"""What the winner is compared with, by `finish.baseline`."""
LR_MULTIPLES = (1.0, 1 / 3, 3.0)
"""Of the recipe's learning rate: published networks are tried with the first, then all with the next."""
_RANDOM = 200
"""Random networks that there are to try at most; the time of a search holds fewer."""
_MOST_DRAWS = 2000
_MEASURING = 0.5
"""Share of the seconds of a baseline in which the latency of its candidates may be measured."""

Measure = Callable[[Architecture], float]
"""Returns the latency of a network in ms; raises `DeviceError` where it cannot be run."""


@dataclass(frozen=True)
class RivalCandidate:
    """A network that a baseline may be."""

    kind: str
    """Of the baseline."""
    name: str
    family: str
    """Empty for a random one."""
    architecture: Architecture
    latency_ms: float | None = None
    """Measured, where there is a limit on it."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with its costs for people."""
        cost = cost_of(self.architecture)
        parts = {"kind": self.kind, "name": self.name, "family": self.family, "latency_ms": self.latency_ms}
        return {**parts, "params": cost.params, "macs": cost.macs, "architecture": self.architecture.to_dict()}

    @classmethod
    def from_dict(cls, values: Any) -> RivalCandidate:
        """Read what `to_dict` wrote."""
        latency = values["latency_ms"]
        return cls(
            str(values["kind"]),
            str(values["name"]),
            str(values["family"]),
            Architecture.from_dict(values["architecture"]),
            None if latency is None else float(latency),
        )


@dataclass(frozen=True)
class RivalCandidates:
    """What there is to choose the baselines from."""

    candidates: Sequence[RivalCandidate]
    """Each kind in the order in which they are tried."""
    measuring: Mapping[str, float]
    """Seconds that measuring their latency took, by the kind."""

    @classmethod
    def from_dict(cls, values: Any) -> RivalCandidates:
        """Read what `to_dict` wrote."""
        seconds = seconds_by_name(values["measuring"])
        return cls([RivalCandidate.from_dict(one) for one in values["candidates"]], seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"measuring": dict(self.measuring), "candidates": [one.to_dict() for one in self.candidates]}

    def of(self, kind: str) -> list[RivalCandidate]:
        """Return those of a kind."""
        return [one for one in self.candidates if one.kind == kind]


def rival_candidates(
    searched: Searched,
    settings: FinishSettings,
    folder: Path,
    *,
    measure: Measure | None,
    seconds: float,
    say: Say,
    pretrained: Architecture | None = None,
) -> RivalCandidates:
    """Return the candidates of the baselines: those that an earlier session wrote down, or new ones, written down.

    Args:
        searched: whose limits they hold, measured latency included.
        settings: say which baselines there are.
        folder: of the finish.
        measure: of latency; None where that is not limited.
        seconds: that each baseline has; half of them may go into measuring, as a search measures in its own time.
        say: told what is measured.
        pretrained: the network that the weights of the user are of, which is the first of the published ones, since it
            is what would be taken instead of a search.
    """
    path = folder / CANDIDATES
    if path.exists():
        return read_json(path, "the candidates of a finish", RivalCandidates.from_dict)
    found, measuring = list[RivalCandidate](), dict[str, float]()
    for kind in KINDS[settings.baseline]:
        candidates = _published(searched, pretrained, say) if kind == PUBLISHED else _random(searched)
        if measure is not None and candidates:
            limit = _MEASURING * seconds
            say(f"Measuring the latency of up to {len(candidates)} {kind} candidates, at most {in_words(limit)}")
            started = monotonic()
            candidates = _fast_enough(candidates, searched.limits, measure, started + limit)
            measuring[kind] = monotonic() - started
        found += candidates
    result = RivalCandidates(found, measuring)
    write_whole(path, json.dumps(result.to_dict(), indent=1) + "\n")
    return result


def rivals_of(found: RivalCandidates, settings: FinishSettings, searched: Searched) -> list[Rival]:
    """Return the rivals that candidates make: published ones with several learning rates, random ones with one.

    They are chosen by the recipe of the search, as the candidates of that were: where it has decided some of that, by
    what it came to for its best network. A kind without candidates is there too.
    """
    rivals, recipe = [], searched.recipe
    if settings.searched_recipe:
        recipe = searched.recipe_of(searched.finalists(1)[0][0], recipe)
    for kind in KINDS[settings.baseline]:
        multiples = LR_MULTIPLES if kind == PUBLISHED else LR_MULTIPLES[:1]
        contestants = [
            Contestant(
                candidate.name + (f", learning rate x {multiple:.2g}" if multiple != 1 else ""),
                candidate.architecture,
                replace(recipe, lr=recipe.lr * multiple),
                multiple,
            )
            for multiple in multiples
            for candidate in found.of(kind)
        ]
        rivals.append(Rival(kind, contestants, found.measuring.get(kind, 0.0)))
    return rivals


def _published(searched: Searched, pretrained: Architecture | None, say: Say) -> list[RivalCandidate]:
    space = searched.study.space
    shape = tuple(searched.study.notes.get("data", {}).get("input_shape", space.input_shape))
    dense, workload = searched.task.dense, searched.study.workload
    found = published_candidates(shape, space.num_classes, searched.limits, workload, segments=dense)
    others = [RivalCandidate(PUBLISHED, one.name, one.family, one.architecture) for one in found]
    if pretrained is None:
        return others
    counted = [limit for limit in searched.limits if limit.counted]
    if any(one.rejects for one in check(held_cost(pretrained, workload), counted, workload)):
        say("The network of transfer.weights is no baseline: it does not hold the limits of the search")
        return others
    own = RivalCandidate(PUBLISHED, "the network of transfer.weights", "", pretrained)
    return [own, *(one for one in others if one.architecture.arch_id != pretrained.arch_id)]


def _random(searched: Searched) -> list[RivalCandidate]:
    """Draw networks of the space that hold the limits, as a search draws its random candidates."""
    space = searched.study.space
    gate = Gate(space, [limit for limit in searched.limits if not limit.measured], searched.study.workload)
    found: dict[str, RivalCandidate] = {}
    for draw in range(_MOST_DRAWS):
        candidate, _ = gate.random(derived_seed(searched.seed, "finish", "random", draw))
        if candidate.accepted:
            arch = candidate.architecture
            found.setdefault(arch.arch_id, RivalCandidate(RANDOM, f"random network {len(found) + 1}", "", arch))
        if len(found) in (_RANDOM, space.size()):
            break
    return [*found.values()]


def _fast_enough(
    candidates: Sequence[RivalCandidate], limits: Sequence[Constraint], measure: Measure, until: float
) -> list[RivalCandidate]:
    """Return the candidates whose measured latency holds its limits, with that; what cannot be run is left out.

    They are measured in their order until the clock shows `until`; the others are left out too.
    """
    kept = []
    for candidate in candidates:
        if monotonic() >= until:
            break
        try:
            ms = measure(candidate.architecture)
        except DeviceError:
            continue
        if not any(violation(ms, limit).rejects for limit in limits if limit.metric == LATENCY):
            kept.append(replace(candidate, latency_ms=ms))
    return kept
