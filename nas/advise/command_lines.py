"""The commands, and the Python where no command does it, that follow from an advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nas.advise.networks import Network, Start
from nas.advise.request import Wanted
from nas.advise.space_choice import Limit, Region
from nas.network.ops import Shape

_TRIALS = 50
_FEW_EPOCHS = 30


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, and what it is for."""

    what: str
    line: str


def commands(wanted: Wanted, found: Sequence[Start], where: Region, shape: Shape, classes: int) -> tuple[Command, ...]:
    """Return the commands in the order in which to run them."""
    made = []
    if found:
        made.append(Command("What the network costs, block by block.", _profile(wanted, found[0].network)))
    if wanted.trained:
        return (*made, *_training(wanted, found, where, shape, classes))
    if where.choices:
        name, size = where.choices[0].space.name, "x".join(map(str, shape))
        made.append(Command("What the space holds.", f"python -m nas.space {name} --data {size} --classes {classes}"))
    elif found and wanted.limits and shape[0] in (1, 3) and shape[1] == shape[2]:
        limits = " ".join(f"constraints.{one.metric}={number(one.high)}" for one in wanted.limits)
        line = f"python -m nas.limits +space={found[0].network.name} {_standing_data(wanted, shape, classes)} {limits}"
        made.append(Command("Whether it holds the limits, and where its costs are.", line))
    return tuple(made)


def _training(wanted: Wanted, found: Sequence[Start], where: Region, shape: Shape, classes: int) -> Iterator[Command]:
    """Commands that train, and what comes before them."""
    data = _data(wanted, shape)
    if where.choices:
        space = where.choices[0].space.name
        limits = " ".join(_setting(one) for one in where.limits if not one.constraint.measured)
        if limits:
            line = f"python -m nas.limits +space={space} {_standing_data(wanted, shape, classes)} {limits}"
            yield Command("What the limits leave of the space, before the search.", line)
    if found and not found[0].network.published.let:
        line = f"python -m nas.search +space={found[0].network.name} {data} search.trials=1"
        yield Command("Train the network to start from, so that there is something to beat.", line)
    if where.choices:
        yield Command("The search.", _search(wanted, where, space, shape))


def _search(wanted: Wanted, where: Region, space: str, shape: Shape) -> str:
    limits = [_setting(one) for one in where.limits]
    few = []
    if wanted.few:
        few = [f"train.epochs={_FEW_EPOCHS}", f"data.augment={'shift' if wanted.data_set else 'shift_flip'}"]
    words = [f"+space={space}", _data(wanted, shape), *limits, f"search.trials={_TRIALS}", *few]
    return f"python -m nas.search {' '.join(words)}"


def _profile(wanted: Wanted, network: Network) -> str:
    size = "x".join(map(str, network.input_shape))
    classes = "" if wanted.classes is None else f" --classes {wanted.classes}"
    return f"python -m nas.profile {network.name} --data {size}{classes}"


def _setting(limit: Limit) -> str:
    return f"constraints.{limit.constraint.metric}={number(limit.constraint.high)}"


def number(value: float) -> str:
    """Write a bound as people do: 5e6, 2.2e8, 512, 9.5."""
    digits, mark, exponent = f"{value:.12e}".partition("e")
    short = f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    plain = f"{value:.12g}"
    return plain if mark not in plain and len(plain) <= len(short) + 1 else short


def _data(wanted: Wanted, shape: Shape) -> str:
    """The settings of the user's own data; FOLDER is for the user to fill in."""
    if wanted.data_set is not None:
        return f"data={wanted.data_set}"
    return f"data=image_folder data.root=FOLDER{_size(shape)}"


def _standing_data(wanted: Wanted, shape: Shape, classes: int) -> str:
    """Settings of data of the same shape that need no files; those of the user where the shape is not square."""
    if wanted.data_set is not None or shape[1] != shape[2]:
        return _data(wanted, shape)
    return f"data=synthetic{_size(shape)} data.num_classes={classes}"


def _size(shape: Shape) -> str:
    square = f" data.resolution={shape[1]}" if shape[1] == shape[2] else ""
    return square + " data.channels=1" * (shape[0] == 1)


def python_code(wanted: Wanted, found: Sequence[Start], where: Region, shape: Shape, classes: int) -> str:
    """Return code for what works today from Python alone, for a task or an input that no command trains."""
    if wanted.trained:
        return ""
    lines = ["import nas", ""]
    if where.choices:
        bounds = [one.constraint for one in where.limits if not one.constraint.measured]
        limits = ", ".join(f'"{one.metric}": {number(one.high)}' for one in bounds)
        lines += [
            f'space = nas.load_space("{where.choices[0].space.name}").for_data({shape}, {classes})',
            "",
            "def evaluate(architecture, budget, seed):",
            "    return train_and_score(nas.build(architecture))  # your training, your data; more is better",
            "",
            f"study = nas.run_search(space, evaluate, trials={_TRIALS}, constraints={{{limits}}}, seed=0)",
        ]
    elif found:
        lines += [
            f'space = nas.load_space("{found[0].network.name}").for_data({shape}, {classes})',
            "network = nas.build(space.decode({}))  # a torch.nn.Module, for your own training",
        ]
    return "\n".join(lines) if where.choices or found else ""
