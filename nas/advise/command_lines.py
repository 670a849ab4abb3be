"""The command lines of an advice, and Python code for tasks that no command trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nas.advise.networks import CountedNetwork, Start
from nas.advise.request import Request
from nas.advise.space_choice import Limit, Region
from nas.network.ops import Shape

_TRIALS = 50
_FEW_EPOCHS = 30


@dataclass(frozen=True, slots=True)
class Command:
    """A command line with its purpose."""

    what: str
    line: str


def commands(
    request: Request, starts: Sequence[Start], region: Region, shape: Shape, classes: int
) -> tuple[Command, ...]:
    """Return the commands in the order in which to run them."""
    lines = []
    if starts:
        lines.append(Command("What the network costs, block by block.", _profile(request, starts[0].network)))
    if request.trainable:
        return (*lines, *_training(request, starts, region, shape, classes))
    if region.choices:
        name, size = region.choices[0].space.name, "x".join(map(str, shape))
        lines.append(Command("What the space holds.", f"python -m nas.space {name} --data {size} --classes {classes}"))
    elif starts and request.counted_limits and shape[0] in (1, 3) and shape[1] == shape[2]:
        limits = " ".join(f"constraints.{limit.metric}={number(limit.high)}" for limit in request.counted_limits)
        line = (
            f"python -m nas.limits +space={starts[0].network.name} {_standing_data(request, shape, classes)} {limits}"
        )
        lines.append(Command("Whether it holds the limits, and where its costs are.", line))
    return tuple(lines)


def _training(
    request: Request, starts: Sequence[Start], region: Region, shape: Shape, classes: int
) -> Iterator[Command]:
    """Yield the commands of a task that nas trains: limits, the network to start from, the search."""
    data = _data(request, shape)
    if region.choices:
        space = region.choices[0].space.name
        limits = " ".join(_setting(limit) for limit in region.limits if not limit.constraint.measured)
        if limits:
            line = f"python -m nas.limits +space={space} {_standing_data(request, shape, classes)} {limits}"
            yield Command("What the limits leave of the space, before the search.", line)
    if starts and not starts[0].network.published.let:
        line = f"python -m nas.search +space={starts[0].network.name} {data} search.trials=1"
        yield Command("Train the network to start from, so that there is something to beat.", line)
    if region.choices:
        yield Command("The search.", _search(request, region, space, shape))


def _search(request: Request, region: Region, space: str, shape: Shape) -> str:
    limits = [_setting(limit) for limit in region.limits]
    for_few = []
    if request.few_images:
        as_it_is = request.data_set is not None or request.task == "series"
        for_few = [f"train.epochs={_FEW_EPOCHS}", f"data.augment={'shift' if as_it_is else 'shift_flip'}"]
    words = [f"+space={space}", _data(request, shape), *limits, f"search.trials={_TRIALS}", *for_few]
    return f"python -m nas.search {' '.join(words)}"


def _profile(request: Request, network: CountedNetwork) -> str:
    size = "x".join(map(str, network.input_shape))
    classes = "" if request.classes is None else f" --classes {request.classes}"
    return f"python -m nas.profile {network.name} --data {size}{classes}"


def _setting(limit: Limit) -> str:
    return f"constraints.{limit.constraint.metric}={number(limit.constraint.high)}"


def number(value: float) -> str:
    """Return a bound in its shortest form: 5e6, 2.2e8, 512, 9.5."""
    digits, mark, exponent = f"{value:.12e}".partition("e")
    short = f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    plain = f"{value:.12g}"
    return plain if mark not in plain and len(plain) <= len(short) + 1 else short


def _data(request: Request, shape: Shape) -> str:
    """Return the settings of the user's own data; FOLDER is for the user to fill in."""
    if request.data_set is not None:
        return f"data={request.data_set}"
    if request.task == "series":
        return "data=series data.root=FOLDER"
    folder = "mask_folder" if request.task == "segmentation" else "image_folder"
    return f"data={folder} data.root=FOLDER{_size(shape)}"


def _standing_data(request: Request, shape: Shape, classes: int) -> str:
    """Return settings of synthetic data of the same shape; those of the user's where the shape is not square."""
    if request.data_set is not None or request.task != "classification" or shape[1] != shape[2]:
        return _data(request, shape)
    return f"data=synthetic{_size(shape)} data.num_classes={classes}"


def _size(shape: Shape) -> str:
    square = f" data.resolution={shape[1]}" if shape[1] == shape[2] else ""
    return square + " data.channels=1" * (shape[0] == 1)


def python_code(request: Request, starts: Sequence[Start], region: Region, shape: Shape, classes: int) -> str:
    """Return Python code for a task or an input that no command trains; empty where a command does."""
    if request.trainable:
        return ""
    lines = ["import nas", ""]
    if region.choices:
        bounds = [limit.constraint for limit in region.limits if not limit.constraint.measured]
        limits = ", ".join(f'"{limit.metric}": {number(limit.high)}' for limit in bounds)
        lines += [
            f'space = nas.load_space("{region.choices[0].space.name}").for_data({shape}, {classes})',
            "",
            "def evaluate(architecture, budget, seed):",
            "    return train_and_score(nas.build(architecture))  # your training, your data; more is better",
            "",
            f"study = nas.run_search(space, evaluate, trials={_TRIALS}, constraints={{{limits}}}, seed=0)",
        ]
    elif starts:
        lines += [
            f'space = nas.load_space("{starts[0].network.name}").for_data({shape}, {classes})',
            "network = nas.build(space.decode({}))  # a torch.nn.Module, for your own training",
        ]
    return "\n".join(lines) if region.choices or starts else ""
