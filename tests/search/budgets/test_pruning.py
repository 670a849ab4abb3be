"""What the settings of a pruner make: Optuna's pruners, and shares of brackets."""

from __future__ import annotations

from collections import Counter

import pytest
from optuna.pruners import BasePruner, MedianPruner, NopPruner, PatientPruner

from nas.evaluation import Budget
from nas.search.budgets.curves import CurvePruner
from nas.search.budgets.pruning import PRUNERS, Pruning

KINDS: dict[str, type[BasePruner]] = {"median": MedianPruner, "patient": PatientPruner, "curve": CurvePruner}


@pytest.mark.parametrize("name", PRUNERS)
def test_a_name_gives_its_pruner(name: str) -> None:
    assert type(Pruning(name=name).pruner()) is KINDS.get(name, NopPruner)


@pytest.mark.parametrize(
    ("fidelity", "costs"),
    [
        ("epochs", (1.0, 3.0, 9.0)),  # a rung goes on from the one before
        ("data", (1.0, 1.0 + 3.0, 1.0 + 3.0 + 9.0)),  # each begins anew
        ("resolution", (1.0, 1.0 + 3.0, 1.0 + 3.0 + 9.0)),
    ],
)
def test_brackets_of_hyperband_cost_about_the_same(fidelity: str, costs: tuple[float, ...]) -> None:
    """Trials by bracket, where a bracket costs its rungs times what its first one has cost (Li et al. 2018)."""
    pruning = Pruning(name="hyperband", fidelity=fidelity, least_fraction=0.1)
    halving = pruning.halving(pruning.budgets(Budget(epochs=9)), 300)
    assert halving is not None
    begun = Counter(halving.begin(number) for number in range(300))
    shares = [1 / ((3 - bracket) * cost) for bracket, cost in enumerate(costs)]
    assert [begun[bracket] for bracket in range(3)] == pytest.approx(
        [300 * share / sum(shares) for share in shares], abs=1.5
    )
