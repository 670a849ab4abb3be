"""A neural architecture search in one file, to be read from top to bottom in ten minutes.

It does what `nas search +space=mbconv` does, in one process: nas says which networks there are, what they cost and how
they are built; Optuna says which to try next; plain PyTorch trains them.

    python examples/mini_nas.py                     # 12 networks on scikit-learn's digits, about a minute
    python examples/mini_nas.py --trials 30 --epochs 6 --params 3e5
    python examples/mini_nas.py --sampler random    # what the default is to be better than

The steps of every trial:

    space --suggest--> genotype --decode--> architecture --cost_of--> cost --check--> over a limit: pruned, never built
                                                 |
                                                 +--build--> torch module --train--> validation accuracy --> Optuna
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import nas
from nas.cost import check

Split = tuple[Tensor, Tensor]
"""Images, `(examples, channels, height, width)`, and their labels, `(examples,)`."""


# 1. The data. Three parts that share no image, each with as many of every class as the others. The search trains on the
#    first and compares networks by the second. Whoever quotes an accuracy trains the winner anew and takes the third,
#    once: the best of many validation accuracies is one that was also lucky. So the third is not even returned here.


def digits() -> tuple[Split, Split]:
    """Return the training and the validation split of scikit-learn's 1,797 grey 8x8 digits."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    kept, _test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    train, val = train_test_split(kept, test_size=0.2, stratify=labels[kept], random_state=1)
    mean, std = images[train].mean(), images[train].std()  # of the training split alone

    def split(indices: NDArray[np.int64]) -> Split:
        return torch.from_numpy((images[indices] - mean) / std), torch.from_numpy(labels[indices])

    return split(train), split(val)


# 2. How a network is trained: AdamW, with a learning rate that rises over the first tenth of the steps and falls to
#    nothing along a cosine. All networks are trained alike, so that their scores can be compared.


def train(model: nn.Module, data: Split, *, epochs: int, seed: int, batch_size: int = 64, lr: float = 3e-3) -> None:
    """Train a network, its batches drawn from the seed."""
    images, labels = data
    batches = len(images) // batch_size  # what is left over takes its turn in the next epoch, which has another order
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * batches, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for batch in order[: batches * batch_size].split(batch_size):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def accuracy(model: nn.Module, data: Split) -> float:
    """Return the share of examples that a network puts into the right class."""
    images, labels = data
    model.eval()
    return float((model(images).argmax(dim=1) == labels).float().mean())


# 3. The search. The space is data (search_spaces/mbconv.yaml): which blocks, how many, how wide, with which kernels. It
#    takes shape and number of classes from the data at hand, and the limits. Those are counted on the network's graph,
#    in well under a millisecond and without torch; what is over one is pruned before it is built. The samplers of nas
#    know the space and propose nothing over its limits; those of Optuna learn from the candidates that were pruned.


def search(
    *, trials: int, epochs: int, limits: dict[str, float], sampler: str = "default", seed: int = 0
) -> optuna.Study:
    """Search the space mbconv for the network that is best on the validation split, under hard limits.

    Args:
        trials: networks to train; those over a limit, and repeated ones, do not count.
        epochs: of the training of each.
        limits: upper bounds by metric, such as `{"params": 5e5, "macs": 2e6}`.
        sampler: a name that `nas.sampler` knows: default, tpe, random, ...
        seed: of proposals, first weights and batches. The same seed gives the same trials.

    Returns:
        Optuna's study. The params of a trial are its genotype; its user attributes hold `arch_id`, and the architecture
        as JSON where it was trained.
    """
    train_split, val_split = digits()
    images, labels = train_split
    limited = nas.SearchSpace.from_dict({**nas.load_space("mbconv").to_dict(), "limits": limits})
    space = limited.for_data(tuple(images.shape[1:]), len(labels.unique()))
    scores: dict[str, float] = {}  # of the networks that were trained, by their arch_id

    def objective(trial: optuna.Trial) -> float:
        genotype = space.suggest(trial)  # asks Optuna for every decision: {"stages.1.kernel": 5, ...}
        architecture = space.decode(genotype)  # the network as data: frozen, as JSON, with an id
        trial.set_user_attr("arch_id", architecture.arch_id)
        checked = check(nas.cost_of(architecture), space.limits)  # say: params 612,394 is over 500,000
        for found in checked:
            trial.set_constraint(found.metric, found.excess)  # by which share of the bound it is over it, or below
        if any(found.rejects for found in checked):
            raise optuna.TrialPruned
        if architecture.arch_id in scores:  # another genotype, but the same network: nothing new to learn by training
            return scores[architecture.arch_id]

        torch.manual_seed(seed + trial.number)
        model = nas.build(architecture)  # an ordinary nn.Module
        train(model, train_split, epochs=epochs, seed=seed + trial.number)
        scores[architecture.arch_id] = accuracy(model, val_split)
        trial.set_user_attr("architecture", architecture.to_json())
        return scores[architecture.arch_id]

    # A sampler of Optuna's kind. Any other works here as well, such as optuna.samplers.TPESampler(seed=seed).
    study = optuna.create_study(direction="maximize", sampler=nas.sampler(sampler, seed=seed, space=space))
    while len(scores) < trials:
        if len(study.trials) >= 100 * trials:  # limits that nothing holds must not keep us here for ever
            break
        study.optimize(objective, n_trials=1)
        print(line_of(study.trials[-1]), flush=True)
    return study


# 4. What is shown, and the command line.


def line_of(trial: optuna.trial.FrozenTrial) -> str:
    """Return a trial as a line of the report."""
    if trial.state == optuna.trial.TrialState.PRUNED:
        return f"trial {trial.number:4}  over a limit"
    if "architecture" not in trial.user_attrs:
        return f"trial {trial.number:4}  {trial.value:.4f}  the same network as before"
    cost = nas.cost_of(nas.Architecture.from_json(trial.user_attrs["architecture"]))
    return f"trial {trial.number:4}  {trial.value:.4f}  {cost.params:9,} params  {cost.macs:9,} MACs"


def main(arguments: Sequence[str] | None = None) -> optuna.Study:
    """Search as the command line says, print the best network, and return the study."""
    parser = argparse.ArgumentParser(description="A search of nas in one file.")
    parser.add_argument("--trials", type=int, default=12, help="networks to train (12)")
    parser.add_argument("--epochs", type=int, default=4, help="of each training (4)")
    parser.add_argument("--params", type=float, default=5e5, help="most parameters (500,000)")
    parser.add_argument("--macs", type=float, default=2e6, help="most multiply-adds (2,000,000)")
    parser.add_argument("--sampler", default="default", help="default, tpe, random, ... (default)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same trials (0)")
    given = parser.parse_args(arguments)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    began, limits = time.monotonic(), {"params": given.params, "macs": given.macs}
    study = search(trials=given.trials, epochs=given.epochs, limits=limits, sampler=given.sampler, seed=given.seed)
    trained = [trial for trial in study.trials if "architecture" in trial.user_attrs]
    print(f"\n{len(study.trials)} proposed, {len(trained)} trained in {time.monotonic() - began:.0f} s")
    if not trained:
        raise SystemExit(f"no network of the space was found that holds {limits}")
    best = max(trained, key=lambda trial: trial.value or 0.0)
    architecture = nas.Architecture.from_json(best.user_attrs["architecture"])
    cost = nas.cost_of(architecture)
    print(f"Best: trial {best.number}, validation accuracy {best.value:.4f}, arch_id {architecture.arch_id}")
    print(f"      {cost.params:,} params, {cost.macs:,} MACs, {cost.peak_memory_mib:.2f} MiB at the peak")
    print(f"      {best.params}")
    return study


if __name__ == "__main__":
    main()
