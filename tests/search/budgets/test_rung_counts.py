"""How many trials get the budget of each rung, by hand."""

from __future__ import annotations

import pytest

from nas.evaluation import Budget
from nas.search.budgets.pruning import Pruning
from nas.search.budgets.rung_counts import added_epochs, trials_by_rung

NINE = Budget(epochs=9)


@pytest.mark.parametrize(
    ("name", "trials", "counts"),
    [
        ("none", 12, (12,)),
        ("median", 12, (12,)),
        ("asha", 9, (9, 3, 1)),
        ("asha", 12, (12, 4, 1)),
        ("asha", 24, (24, 8, 2)),
        ("asha", 2, (2, 1, 1)),  # however few there are, one gets the full budget
        ("successive_halving", 9, (9, 3, 1)),
        # Brackets are shared out as 1/3 : 1/6 : 1/9, which is 6 : 3 : 2. Of the 6, 2 and then 1 are promoted; of the 3
        # that begin on the second rung 1 is.
        ("hyperband", 11, (6, 2 + 3, 1 + 1 + 2)),
        ("asha", 1000, (1000, 330, 110)),  # five times what 200 have: 200, 66, 22
    ],
)
def test_trials_on_each_rung(name: str, trials: int, counts: tuple[int, ...]) -> None:
    assert trials_by_rung(Pruning(name=name), NINE, trials) == pytest.approx(counts)


def test_over_epochs_a_trial_goes_on_and_else_it_begins_anew() -> None:
    over_epochs, over_data = Pruning(name="asha"), Pruning(name="asha", fidelity="data")
    assert added_epochs(over_epochs, over_epochs.budgets(NINE)) == (1, 2, 6)
    assert added_epochs(over_data, over_data.budgets(NINE)) == (9, 9, 9)
    assert added_epochs(Pruning(), (NINE,)) == (9,)
