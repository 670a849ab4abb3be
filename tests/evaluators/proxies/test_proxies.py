"""Proxies against their definitions, worked out another way; what they leave as it was; and their diagnosis."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

import nas
from nas.errors import ConfigError, DataError, NasError, TrainingError
from nas.evaluators.proxies.costs import left_out, predicted
from nas.evaluators.proxies.diagnosis import ProxyReport, diagnose, lines
from nas.evaluators.proxies.evaluator import ProxyEvaluator
from nas.evaluators.proxies.measures import PROXIES, gradnorm, naswot, synflow, zen, zico
from nas.evaluators.proxies.names import PROXY_NAMES
from nas.evaluators.proxies.score import score
from nas.pytorch.layers import InPlaceInInference
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.splits import MemoryImages

DATA = DataConfig(name="synthetic", samples=200, num_classes=4)
SPACE = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 3, "resolution": 16, "num_classes": 4},
        "stem": {"block": "conv", "out_channels": {"choose": [4, 8]}, "stride": 2},
        "stages": [{"block": "mbconv", "out_channels": 8, "stride": 2, "expand_ratio": 2}],
        "head": {"block": "classifier"},
    }
)
ARCH = SPACE.decode({"stem.0.out_channels": 8})


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _chain(*sizes: int, act: Callable[[], nn.Module] | None = None) -> nn.Sequential:
    """Linear layers without bias, with an activation between two of them."""
    parts: list[nn.Module] = []
    for before, after in pairwise(sizes):
        parts += [act()] if act is not None and parts else []
        parts.append(nn.Linear(before, after, bias=False))
    return nn.Sequential(*parts)


def _weight(part: nn.Module) -> Tensor:
    assert isinstance(part, nn.Linear)
    return part.weight


def _batch(size: int, *shape: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(size, *shape), torch.randint(0, classes, (size,))


def test_names_are_those_of_the_measures() -> None:
    assert tuple(PROXIES) == PROXY_NAMES


# naswot


def _log_kernel(codes: NDArray[np.bool_]) -> float:
    """Mellor et al. 2021: K_H[i, j] is the length of the codes less their Hamming distance."""
    hamming = (codes[:, None, :] != codes[None, :, :]).sum(axis=2)
    return float(np.linalg.slogdet((codes.shape[1] - hamming).astype(float))[1])


@pytest.mark.parametrize(
    "act",
    [
        nn.ReLU,
        lambda: nn.ReLU(inplace=True),
        nn.ReLU6,
        nn.GELU,
        nn.SiLU,
        nn.Tanh,
        lambda: InPlaceInInference(F.hardswish),
    ],
)
def test_naswot_is_the_log_determinant_of_the_kernel(act: Callable[[], nn.Module]) -> None:
    network = _chain(5, 40, 30, 3, act=act)
    inputs, labels = _batch(6, 5)
    first = inputs @ _weight(network[0]).T
    second = act().eval()(first.clone()) @ _weight(network[2]).T
    codes = torch.cat([first, second], 1).detach().numpy() > 0
    assert naswot(network, inputs, labels) == pytest.approx(_log_kernel(codes), rel=1e-9)


def test_naswot_by_hand() -> None:
    """Codes 110, 101 and 011: each pair agrees in one place, so K is 3 on the diagonal and 1 beside; its determinant
    is (3 + 2) (3 - 1)^2 = 20.
    """
    network = nn.Sequential(nn.Identity(), nn.ReLU())
    inputs = torch.tensor([[1.0, 2, -1], [3, 0, 1], [-2, 1, 1]])
    assert naswot(network, inputs, torch.zeros(3).long()) == pytest.approx(math.log(20))


def test_naswot_reads_rectifiers_and_not_the_gates_beside_them() -> None:
    network = _chain(5, 30, 3, act=nn.ReLU)
    gated = nn.Sequential(*network, nn.Sigmoid())
    inputs, labels = _batch(5, 5)
    assert naswot(gated, inputs, labels) == naswot(network, inputs, labels)


def test_naswot_of_equal_codes_is_an_error() -> None:
    inputs = torch.ones(2, 5)
    with pytest.raises(TrainingError, match="proxy naswot is -inf: two images may have the same code"):
        naswot(_chain(5, 30, 3, act=nn.ReLU), inputs, torch.zeros(2).long())
    with pytest.raises(NasError, match="no activation"):
        naswot(_chain(5, 3), inputs, torch.zeros(2).long())


# synflow


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_synflow_of_a_chain_is_layers_times_the_paths(layers: int) -> None:
    """Each path's product is counted once by each of its weights (Tanaka et al. 2020, the conservation of flow)."""
    network = _chain(4, *[7] * (layers - 1), 3)
    product = np.ones(4)
    for part in network:
        product = np.abs(_weight(part).detach().double().numpy()) @ product
    found = synflow(network, *_batch(2, 4))
    assert found == pytest.approx(math.log(layers * product.sum()), rel=1e-12)


@pytest.mark.parametrize("act", [nn.ReLU, nn.ReLU6, nn.Hardswish, lambda: InPlaceInInference(F.silu)])
def test_synflow_passes_rectifiers_and_normalisation(act: Callable[[], nn.Module]) -> None:
    plain = _chain(4, 50, 60, 3)
    parts = [plain[0], nn.BatchNorm1d(50, eps=0.5), act(), plain[1], nn.LayerNorm(60), act(), plain[2]]
    batch = _batch(2, 4)
    assert synflow(nn.Sequential(*parts), *batch) == pytest.approx(synflow(plain, *batch), rel=1e-12)


def test_synflow_of_a_residual_network_that_overwrites_its_inputs() -> None:
    """Ones through a 1x1 convolution w, and again with a shortcut: R = sum w1 (1 + w2), so that w dR/dw adds up to
    w1 + 2 w1 w2. Before an activation in place, the shortcut's value must live on.
    """

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
            self.norm, self.act = nn.BatchNorm1d(1), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.one(x)
            y = self.norm(x)
            y.mul_(1)
            found: Tensor = self.two(self.act(y)).add_(x)
            return found

    network = Residual()
    one, two = (abs(float(part.weight.detach())) for part in (network.one, network.two))
    assert synflow(network, *_batch(2, 1)) == pytest.approx(math.log(one + 2 * one * two), rel=1e-6)


def test_synflow_of_a_dead_network_is_an_error() -> None:
    network = _chain(4, 5, 3)
    nn.init.zeros_(_weight(network[1]))
    with pytest.raises(TrainingError, match="proxy synflow is -inf"):
        synflow(network, *_batch(2, 4))


# gradnorm and zico


def _gradients(network: nn.Sequential, inputs: Tensor, labels: Tensor) -> list[NDArray[np.float64]]:
    """Of the mean cross-entropy of a chain with one ReLU, by hand."""
    first, second = (part.weight.detach().double() for part in network if isinstance(part, nn.Linear))
    hidden = inputs.double() @ first.T
    slope = ((hidden.clamp_min(0) @ second.T).softmax(1) - F.one_hot(labels, len(second))) / len(labels)
    below = (slope @ second) * (hidden > 0)
    return [(below.T @ inputs.double()).numpy(), (slope.T @ hidden.clamp_min(0)).numpy()]


def test_gradnorm_is_the_sum_of_the_layers_norms() -> None:
    network, batch = _chain(5, 6, 3, act=nn.ReLU), _batch(8, 5)
    expected = sum(np.linalg.norm(one) for one in _gradients(network, *batch))
    assert gradnorm(network, *batch) == pytest.approx(expected, rel=1e-5)
    gradients = torch.autograd.grad(F.cross_entropy(network(batch[0]), batch[1]), list(network.parameters()))
    assert gradnorm(network, *batch) == pytest.approx(sum(float(one.norm()) for one in gradients), rel=1e-6)


@pytest.mark.parametrize("batches", [2, 4])
def test_zico_from_the_gradients_of_each_batch(batches: int) -> None:
    network, (inputs, labels) = _chain(5, 6, 3, act=nn.ReLU), _batch(16, 5)
    size = 16 // batches
    by_batch = [_gradients(network, inputs[i : i + size], labels[i : i + size]) for i in range(0, 16, size)]
    expected = 0.0
    for layer in range(2):
        sizes = np.abs(np.stack([one[layer] for one in by_batch]))
        mean, std = sizes.mean(axis=0), sizes.std(axis=0)
        expected += np.log((mean[std > 0] / std[std > 0]).sum())
    assert zico(network, inputs, labels, batches=batches) == pytest.approx(expected, rel=1e-3)


def test_zico_takes_two_batches() -> None:
    with pytest.raises(NasError, match="2 batches of 2 images at least, but got 3 images in 2 batches"):
        zico(_chain(5, 3), *_batch(3, 5))


def test_a_gradient_that_is_no_number_is_an_error() -> None:
    network = _chain(5, 6, 3, act=nn.ReLU)
    nn.init.constant_(_weight(network[0]), math.nan)
    for proxy in (gradnorm, zico):
        with pytest.raises(TrainingError, match=f"proxy {proxy.__name__} is nan"):
            proxy(network, *_batch(8, 5))


# zen


def _convolutions(*widths: int, norm: bool = False, act: bool = False) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts.append(nn.Conv2d(before, after, 1, bias=False))
        parts += [nn.BatchNorm2d(after)] if norm else []
        parts += [nn.ReLU()] if act else []
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 3))


def test_zen_of_one_convolution_is_known() -> None:
    """f(x + a e) - f(x) = a W e, and E ||W e||^2 = inputs x outputs x positions for standard normal W and e."""
    found = zen(_convolutions(64, 128), *_batch(4, 64, 8, 8))
    assert found == pytest.approx(math.log(0.01 * math.sqrt(64 * 128 * 64)), abs=0.02)


@pytest.mark.parametrize("act", [False, True])
def test_zen_gives_back_what_batch_norms_divide_by(act: bool) -> None:
    """The score is made so that batch norms do not change it (Lin et al. 2021, section 3.3)."""
    batch = _batch(16, 48, 16, 16)
    plain, normal = (zen(_convolutions(48, 96, 64, 96, norm=norm, act=act), *batch) for norm in (False, True))
    assert normal == pytest.approx(plain, abs=0.15 if act else 0.05)
    # Without an activation a product of matrices, E ||W3 W2 W1 e||^2 as above; each ReLU halves it.
    squared = 48 * 96 * 64 * 96 * 256 / (8 if act else 1)
    assert plain == pytest.approx(math.log(0.01 * math.sqrt(squared)), abs=0.1)


def test_zen_grows_with_depth_and_does_not_depend_on_weights() -> None:
    batch = _batch(8, 16, 8, 8)
    shallow, deep = (zen(_convolutions(16, *[32] * depth, norm=True, act=True), *batch) for depth in (1, 4))
    # A layer multiplies the distance by about sqrt(32 / 2): He et al. 2015.
    assert deep - shallow == pytest.approx(3 * math.log(math.sqrt(32 / 2)), abs=0.4)
    network = _convolutions(16, 32, norm=True)
    before = zen(network, *batch)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 3.0)
    assert zen(network, *batch) == before


def test_zen_of_a_network_that_ignores_its_input_is_an_error() -> None:
    with pytest.raises(TrainingError, match="proxy zen is -inf: the network does not react to its input"):
        zen(nn.Sequential(nn.Threshold(1e9, 0.0), nn.Linear(5, 3)), *_batch(4, 5))


# All of them on networks of the spaces


def _sampled(name: str, seed: int = 0) -> nas.Architecture:
    shape = (1, 64) if name == "conv1d" else (3, 32, 32)
    space = nas.load_space(name).for_data(shape, 10)
    networks = [space.decode(space.sample(seed=10 * seed + i)) for i in range(6)]
    return min(networks, key=lambda one: nas.cost_of(one).macs)


def _frozen(network: nn.Module) -> tuple[dict[str, Tensor], list[Tensor | None], list[bool]]:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    return state, gradients, [module.training for module in network.modules()]


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return torch.equal(one, other) if one is not None and other is not None else one is other


@pytest.mark.parametrize("name", ["mbconv", "mobilenet_v3", "resnet", "nasbench201", "conv1d", "vit"])
def test_networks_of_the_spaces_have_scores_and_stay_as_they_are(name: str) -> None:
    arch = _sampled(name)
    network = nas.build(arch)
    inputs, labels = _batch(8, *arch.input_shape, classes=10)
    for parameter in list(network.parameters())[1:]:
        parameter.grad = torch.randn_like(parameter)
    next(iter(network.children())).eval()
    refused = {"synflow": "without attention", "zen": "LayerNorm"} if name == "vit" else {}
    state, gradients, modes = _frozen(network)
    for proxy, measure in PROXIES.items():
        if proxy in refused:
            with pytest.raises(NasError, match=refused[proxy]):
                measure(network, inputs, labels)
        else:
            value = measure(network, inputs, labels)
            assert math.isfinite(value)
            assert measure(network, inputs, labels) == value
        after = _frozen(network)
        assert all(_same(value, after[0][key]) for key, value in state.items())
        assert all(map(_same, gradients, after[1]))
        assert modes == after[2]
        assert all(not module._forward_pre_hooks for module in network.modules())


def test_scores_do_not_depend_on_the_mode() -> None:
    network = nas.build(_sampled("mobilenet_v3"))
    batch = _batch(8, 3, 32, 32, classes=10)
    for measure in PROXIES.values():
        assert measure(network.train(), *batch) == measure(copy.deepcopy(network).eval(), *batch)


# The evaluator


def test_evaluator_gives_the_scores_that_are_asked_for_and_repeats() -> None:
    evaluate = pickle.loads(pickle.dumps(ProxyEvaluator(DATA, PROXY_NAMES, batch_size=16, accelerator="cpu")))
    assert evaluate.prepare()["input_shape"] == [3, 16, 16]
    first, again, other = (evaluate(ARCH, nas.Budget(), seed).scores for seed in (1, 1, 2))
    assert tuple(first) == PROXY_NAMES
    assert first == again
    assert all(first[name] != other[name] for name in PROXY_NAMES)
    alone = replace(evaluate, names=("zen", "naswot"))(ARCH, nas.Budget(), 1).scores
    assert alone == {name: first[name] for name in ("zen", "naswot")}


def test_a_search_takes_it_as_its_evaluator() -> None:
    evaluate = ProxyEvaluator(DATA, ("naswot",), batch_size=8, accelerator="cpu")
    study = nas.run_search(SPACE, evaluate, trials=2, objective="naswot", sampler="random", seed=0)
    assert study.best(1)[0].scores["naswot"] == max(t.scores["naswot"] for t in study.trials)


class _Sealed(MemoryImages):
    def read(self, indices: Tensor) -> Tensor:
        raise AssertionError("another split than that of training was read")


def test_only_the_training_split_is_read() -> None:
    sealed = _Sealed(torch.empty(0), torch.empty(0))
    data = replace(load_data(DATA), val=sealed)
    assert score(ARCH, data, PROXY_NAMES, seed=0, batch_size=8, accelerator="cpu").scores


def test_data_must_be_enough_and_fit() -> None:
    with pytest.raises(DataError, match=r"2 batches of 100 need 200 training images, but there are \d+; lower"):
        ProxyEvaluator(DATA, ("naswot",), batch_size=100)(ARCH, nas.Budget(), 0)
    with pytest.raises(DataError, match="3 channels and 4 classes, but the architecture takes 1 channels"):
        ProxyEvaluator(DATA, ("naswot",))(
            SPACE.for_data((1, 16, 16), 9).decode({"stem.0.out_channels": 8}), nas.Budget(), 0
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ("naswat",)}, "unknown proxy 'naswat'. Did you mean 'naswot'"),
        ({"names": ()}, "at least one name"),
        ({"batch_size": 1}, "batch_size must be >= 2, but got 1"),
        ({"batches": 1}, "batches must be >= 2, but got 1"),
        ({"accelerator": "tpu"}, "unknown accelerator 'tpu'"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProxyEvaluator(**{"data": DATA, "names": ("zico",), **settings})  # type: ignore[arg-type]  # of any kind


def test_evaluator_and_diagnosis_load_without_torch() -> None:
    code = (
        "import nas.evaluators.proxies.evaluator, nas.evaluators.proxies.diagnosis, sys\nprint('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


# The diagnosis


Columns = dict[str, NDArray[np.float64]]


def _by_name(values: NDArray[np.float64], proxies: Columns, *, minimize: bool = False) -> dict[str, ProxyReport]:
    columns = {name: column.tolist() for name, column in proxies.items()}
    return {one.name: one for one in diagnose(values.tolist(), columns, minimize=minimize)}


def _made(seed: int, count: int = 60) -> tuple[NDArray[np.float64], Columns]:
    rng = np.random.default_rng(seed)
    truth, noise, size = rng.normal(size=(3, count))
    return truth, {"params": truth + 1.5 * size, "truth": 2 * truth**3, "noise": noise, "ties": np.round(truth + size)}


@pytest.mark.parametrize("minimize", [False, True])
def test_diagnosis_agrees_with_scipy(minimize: bool) -> None:
    values, proxies = _made(0)
    reports = _by_name(values, proxies, minimize=minimize)
    sign = -1 if minimize else 1
    rng = np.random.default_rng(1)
    for name, column in proxies.items():
        found = reports[name]
        assert found.tau == pytest.approx(stats.kendalltau(column, sign * values).statistic, abs=1e-12)
        assert found.rho == pytest.approx(stats.spearmanr(column, sign * values).statistic, abs=1e-12)
        draws = [rng.integers(0, 60, 60) for _ in range(1000)]
        taus = [stats.kendalltau(column[d], sign * values[d]).statistic for d in draws]
        assert (found.low, found.high) == pytest.approx(tuple(np.percentile(taus, [2.5, 97.5])), abs=0.03)
        assert found.trials == 60


def test_noise_is_switched_off_and_the_truth_is_not() -> None:
    for seed in range(10):
        reports = _by_name(*_made(seed))
        assert reports["truth"].beats_costs
        assert reports["truth"].tau == 1
        assert not reports["noise"].beats_costs
        assert not reports["params"].beats_costs
    said = lines(list(reports.values()))
    assert "a model of all costs" in said[0]
    assert said[1].endswith("a cost")
    assert "on: better than all costs" in said[2]
    assert "off: not shown to be better than all costs" in said[3]
    assert "tau +1.00 [+1.00, +1.00], rho +1.00, 60 trials" in said[2]


def _costs(seed: int, count: int) -> tuple[Columns, NDArray[np.float64]]:
    """Three costs that are alike, and noise."""
    rng = np.random.default_rng(seed)
    size, *others, noise = rng.normal(size=(4, count))
    return {"macs": size, "params": 0.6 * size + 0.8 * others[0], "activations": 0.5 * size + 0.9 * others[1]}, noise


def test_a_cost_with_noise_is_switched_off() -> None:
    """It is better than params, which are further from the score, and knows nothing that counting does not."""
    on = 0
    for seed in range(12):
        costs, noise = _costs(seed, 80)
        values = costs["macs"] + 0.8 * np.random.default_rng(100 + seed).normal(size=80)
        found = _by_name(values, costs | {"copy": costs["macs"] + 0.2 * noise, "same": costs["macs"] ** 3})
        assert found["copy"].tau > found["params"].tau + 0.1
        on += found["copy"].beats_costs + found["same"].beats_costs
    assert on == 0


def test_what_costs_say_together_is_no_merit_of_a_proxy() -> None:
    """The sum of two costs orders networks better than each, but not than a model of both."""
    for seed in range(6):
        costs, noise = _costs(seed, 80)
        both = costs["macs"] + costs["params"] - costs["activations"]
        values = both + 0.8 * np.random.default_rng(100 + seed).normal(size=80)
        found = _by_name(values, costs | {"sum": both + 0.3 * noise, "knows": values + 0.1 * noise})
        assert found["sum"].tau > max(found[name].tau for name in costs) + 0.1
        assert not found["sum"].beats_costs
        assert found["knows"].beats_costs


def test_leaving_a_network_out_is_fitting_without_it() -> None:
    """Ridge regression on features, fitted anew without each; of noise the model of costs knows nothing."""
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(20, 3)), rng.normal(size=20)
    expected = []
    for place in range(20):
        rest = np.arange(20) != place
        square = features[rest].T @ features[rest] + 0.7 * np.eye(3)
        expected.append(features[place] @ np.linalg.solve(square, features[rest].T @ target[rest]))
    assert left_out(features @ features.T, target, 0.7) == pytest.approx(np.array(expected))
    costs, noise = _costs(0, 60)
    assert abs(stats.kendalltau(predicted(costs, noise), noise).statistic) < 0.25


def test_the_model_of_costs_finds_what_is_best_in_the_middle() -> None:
    costs, noise = _costs(1, 60)
    sizes = {name: np.exp(2 * column) for name, column in costs.items()}
    values = -np.abs(costs["macs"]) + 0.1 * noise
    assert abs(stats.kendalltau(sizes["macs"], values).statistic) < 0.2
    assert stats.kendalltau(predicted(sizes, values), values).statistic > 0.6


def test_noise_beside_another_noise_is_rarely_switched_on() -> None:
    """Five proxies that are noise: any is on in 2.5 % of searches at most; more than 6 of 60 come in 1 case of 1000."""
    rng = np.random.default_rng(0)
    count = 0
    for _ in range(60):
        values, size, *noise = rng.normal(size=(7, 30))
        found = _by_name(values, {"params": size, **{f"proxy {i}": one for i, one in enumerate(noise)}})
        count += any(one.beats_costs for one in found.values())
    assert count <= 6


def test_beating_a_backward_count_takes_knowledge() -> None:
    values, proxies = _made(3)
    reports = _by_name(values, {"params": -values, "noise": proxies["noise"]})
    assert reports["params"].tau == -1
    assert not reports["noise"].beats_costs


def test_few_trials_and_constant_proxies_show_nothing() -> None:
    values, proxies = _made(0, count=9)
    assert not _by_name(values, proxies)["truth"].beats_costs
    flat = _by_name(values, {"params": proxies["params"], "flat": np.ones(9)})["flat"]
    assert (flat.tau, flat.rho, flat.low, flat.high, flat.beats_costs) == (0, 0, 0, 0, False)


def test_diagnosis_repeats() -> None:
    values, proxies = _made(5)
    assert _by_name(values, proxies) == _by_name(values, proxies)


@pytest.mark.parametrize(
    ("values", "proxies", "message"),
    [
        ([1.0, 2], {"zen": [1.0, 2]}, "compared with 'params', which is not among"),
        ([1.0], {"params": [1.0]}, "two trials are the least"),
        ([1.0, 2], {"params": [1.0]}, "params has 1 scores for 2 trials"),
        ([1.0, 2], {"params": [1.0, math.nan]}, "params has scores that are no finite numbers"),
        ([1.0, math.inf], {"params": [1.0, 2]}, "values has scores that are no finite numbers"),
    ],
)
def test_bad_diagnoses(values: list[float], proxies: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        diagnose(values, proxies)
