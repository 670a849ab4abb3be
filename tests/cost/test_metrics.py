"""What limits can bound, by formula and against published figures."""

from __future__ import annotations

import pytest

import nas
from nas.cost import (
    FREE_METRICS,
    LATENCY,
    METRICS,
    Constraint,
    Cost,
    Workload,
    check,
    constraints_from,
    tightest,
    value_of,
    violation,
)

RESNET18 = nas.cost_of(nas.load_space("reference/resnet18").decode({}))


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("params", 11_689_512),
        ("macs", 1_814_073_344),
        ("size_mib", (4 * 11_689_512 + 8 * 4_800 + 8 * 20) / 2**20),
        ("size_fp16_mib", (2 * 11_689_512 + 4 * 4_800 + 8 * 20) / 2**20),
        ("receptive_field", 435),
        # Stored state, 3x224x224 numbers of input, and the map of 64x112x112 with what is pooled from it.
        ("inference_memory_mib", (4 * 11_689_512 + 8 * 4_800 + 8 * 20 + 4 * 3 * 224**2 + 6_422_528) / 2**20),
    ],
)
def test_resnet18(metric: str, value: float) -> None:
    assert value_of(RESNET18, metric, Workload()) == pytest.approx(value)


def test_memory_grows_with_the_batch_but_for_the_parameters() -> None:
    one, many = (value_of(RESNET18, "inference_memory_mib", Workload(batch=n)) for n in (1, 33))
    assert many - one == pytest.approx(32 * (RESNET18.input_bytes + RESNET18.peak_memory_bytes) / 2**20)
    training = [value_of(RESNET18, "training_memory_mib", Workload(1, n, copies)) for n, copies in ((8, 3), (8, 4))]
    assert training[1] - training[0] == pytest.approx(4 * 11_689_512 / 2**20)
    statistics = RESNET18.size_bytes - 4 * RESNET18.params
    # Torch's allocator: 893.65 MiB in a step of AdamW at batch 32 (docs/benchmarks/memory.md), with what backward adds.
    assert training[0] == pytest.approx((12 * 11_689_512 + statistics + 8 * RESNET18.training_memory_bytes) / 2**20)
    assert value_of(RESNET18, "training_memory_mib", Workload(1, 32)) == pytest.approx(893.65, rel=0.05)


def test_what_sees_everything_sees_more_than_any_map() -> None:
    vit = nas.cost_of(nas.load_space("reference/vit_tiny_16").decode({}))
    assert vit.receptive_field is None
    low, high = check(vit, constraints_from({"receptive_field": [100, None]}))[0], violation(2**20, Constraint("macs"))
    assert low.excess < 0
    assert high.excess < 0
    (over,) = check(vit, constraints_from({"receptive_field": 500}))
    assert over.rejects


def test_latency_is_not_counted() -> None:
    assert (*FREE_METRICS, LATENCY) == METRICS
    assert check(Cost(), constraints_from({"latency_ms": 10})) == ()
    assert violation(12, Constraint(LATENCY, high=10)).excess == pytest.approx(0.2)


def test_soft_limits_never_reject() -> None:
    (exceeded,) = check(Cost(params=20), constraints_from({"params": 10}, soft=True))
    assert exceeded.excess == 1
    assert not exceeded.rejects
    hard, soft = tightest([*constraints_from({"params": 10}), *constraints_from({"params": 5}, soft=True)])
    assert (hard.high, hard.soft, soft.high, soft.soft) == (10, False, 5, True)
