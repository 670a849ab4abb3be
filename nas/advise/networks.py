"""Published networks, counted for the user's input, and which of them to start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log2

from nas.advise import rules_of_thumb as rules
from nas.advise.published import IMAGENET, OTHER_TASKS, SMALL_IMAGES, Published
from nas.advise.request import Wanted
from nas.cost import Constraint, Cost, check, cost_of, value_of
from nas.cost.metrics import ONE
from nas.errors import NasError
from nas.network.ops import Shape
from nas.space import load_space

_OTHER_FAMILIES = 3


@dataclass(frozen=True, slots=True)
class Network:
    """A published network at an input."""

    published: Published
    input_shape: Shape
    num_classes: int
    cost: Cost
    """At that input."""
    work: int
    """Multiply-adds as published, at which the accuracy was reached."""

    @property
    def name(self) -> str:
        return self.published.name

    @property
    def top1(self) -> float:
        return self.published.top1 or 0.0

    def worth(self, price: float) -> float:
        """Accuracy less what its work is to bring: the network with the most is where a doubling stops to pay."""
        return self.top1 - price * log2(self.work)


@dataclass(frozen=True, slots=True)
class Start:
    """A network to start from, and why."""

    network: Network
    reason: str


def candidates(wanted: Wanted) -> tuple[list[Network], list[str]]:
    """Return the published networks for a task whatever they cost, and those that cannot take the input, and why."""
    table = OTHER_TASKS.get(wanted.task) or (SMALL_IMAGES if wanted.small else IMAGENET)
    found, refused = [], []
    for one in table:
        if _left_out(one, wanted):
            continue
        try:
            network = _network(one, wanted.shape, wanted.classes)
        except NasError as error:
            refused.append(f"{one.name} cannot take the input: {error}")
            continue
        if not wanted.few or network.cost.params < rules.FEW_PARAMS:
            found.append(network)
    return found, refused


def _left_out(one: Published, wanted: Wanted) -> bool:
    return (one.family == "ViT" and not wanted.transformers) or _made_for_larger(one, wanted)


def made_for_larger(wanted: Wanted) -> list[Published]:
    """Return the networks whose accuracy was published at inputs much larger than the user's."""
    return (
        [] if wanted.small or wanted.task != "classification" else [o for o in IMAGENET if _made_for_larger(o, wanted)]
    )


def _made_for_larger(one: Published, wanted: Wanted) -> bool:
    if wanted.shape is None or one.top1 is None:
        return False
    return one.resolution > max(rules.USUAL_SIDE, rules.LARGER_INPUT * min(wanted.shape[1:]))


@lru_cache(maxsize=1024)
def _network(one: Published, given: Shape | None, number: int | None) -> Network:
    """Count a network for the user's input and classes, or those of its paper."""
    space = load_space(f"reference/{one.space}", **dict(one.let))
    own = (space.input_shape[0], *(one.resolution for _ in space.input_shape[1:]))
    shape, classes = given or own, number or space.num_classes
    work = cost_of(space.for_data(own, space.num_classes).decode({})).macs
    return Network(one, shape, classes, cost_of(space.for_data(shape, classes).decode({})), work)


def within(networks: Iterable[Network], limits: Sequence[Constraint]) -> list[Network]:
    """Return those that hold the limits."""
    return [one for one in networks if not any(violation.rejects for violation in check(one.cost, limits))]


def smallest(networks: Sequence[Network], metric: str) -> tuple[Network, float]:
    """Return the network with the least of a metric, and how much that is."""
    best = min(networks, key=lambda one: value_of(one.cost, metric, ONE))
    return best, value_of(best.cost, metric, ONE)


def starts(wanted: Wanted, networks: Sequence[Network]) -> list[Start]:
    """Return the networks to start from, the one to try first in front.

    Args:
        wanted: what is asked for.
        networks: those that hold the limits; not empty.
    """
    if networks[0].published.top1 is None:
        return _by_work(wanted, networks)
    price = rules.price(wanted.device, wanted.aim, few=wanted.few, many=wanted.many, pretrained=wanted.pretrained)
    ranked = sorted(networks, key=lambda one: -one.worth(price))
    families: dict[str, Network] = {}
    for one in ranked:
        families.setdefault(one.published.family, one)
    first = families["ResNet"] if wanted.general and "ResNet" in families else ranked[0]
    beside = _beside(
        first, [one for one in networks if one.published.family == "ResNet"] if wanted.general else networks
    )
    known = {first.name, *(one.network.name for one in beside)}
    others = [one for one in families.values() if one.published.family != first.published.family]
    comparable = [one for one in others if one.work <= rules.COMPARABLE_WORK * first.work][:_OTHER_FAMILIES]
    # What most papers compare with is shown in any case.
    baseline = [one for one in others if one.published.family == "ResNet" and one not in comparable]
    more = [Start(one, _why_other(one, first)) for one in (*comparable, *baseline) if one.name not in known]
    return [Start(first, _why_first(wanted, first, ranked, price)), *beside, *more]


def _why_first(wanted: Wanted, first: Network, ranked: Sequence[Network], price: float) -> str:
    if wanted.general:
        return (
            "Nothing says what it is for, so the network that most papers compare with comes first (rule of thumb; so "
            "do EfficientNet, RegNet and ConvNeXt in their tables)."
        )
    if price == 0:
        return f"The most accurate published one{' within the limits' * bool(wanted.limits)}, whatever it costs."
    dearer = [one for one in ranked if one.top1 > first.top1 and one.work > first.work]
    if not dearer:
        return "The most accurate published one within the limits."
    following = min(dearer, key=lambda one: (first.top1 - one.top1) / log2(one.work / first.work))
    gain = (following.top1 - first.top1) / log2(following.work / first.work)
    return (
        f"The last one that is worth its work at {price:g} points of accuracy a doubling (rule of thumb for what is "
        f"asked): going on to {following.name} would bring {gain:.1f} a doubling."
    )


def _beside(first: Network, networks: Sequence[Network]) -> list[Start]:
    """The next on the front of accuracy and work: one that is cheaper, and one that is better."""
    cheaper = [one for one in networks if one.work < first.work and one.top1 < first.top1]
    better = [one for one in networks if one.work > first.work and one.top1 > first.top1]
    found = []
    if cheaper:
        one = max(cheaper, key=lambda one: one.top1)
        less, saved = first.top1 - one.top1, 1 - one.work / first.work
        found.append(Start(one, f"The step down: {less:.1f} points less for {saved:.0%} less work."))
    if better:
        one = min(better, key=lambda one: one.work)
        more, times = one.top1 - first.top1, one.work / first.work
        found.append(Start(one, f"The step up: {more:.1f} points more for {times:.1f} times the work."))
    return found


def _why_other(one: Network, first: Network) -> str:
    points, times = one.top1 - first.top1, one.work / first.work
    kind = "To compare with, the best" if points <= 0 and times >= 1 else "The best trade"
    return (
        f"{kind} of the {one.published.family} family: "
        f"{abs(points):.1f} points {'more' if points > 0 else 'less'} than {first.name} at {times:.2g} times the work."
    )


def _by_work(wanted: Wanted, networks: Sequence[Network]) -> list[Start]:
    """Where no accuracy is comparable: the least work first, or the most where quality is wanted."""
    quality = wanted.aim in ("quality", "highest")
    ranked = sorted(networks, key=lambda one: one.cost.macs * (-1 if quality else 1))
    if wanted.task == "segmentation":  # the padded one gives a map of the input's size, which most people need
        ranked = sorted(networks, key=lambda one: one.published.space != "unet")
    return [Start(one, _why_by_work(wanted, one)) for one in ranked]


def _why_by_work(wanted: Wanted, one: Network) -> str:
    reasons = {
        "fcn1d": "Three convolutions: the cheaper of the two baselines that the paper proposes.",
        "resnet1d": "The deeper baseline; first of nine networks on 85 sets in Ismail Fawaz et al. 2019.",
        "unet": "A map of the input's size comes out, so it fits any side that 16 divides.",
        "unet_paper": "As published: unpadded, so the map that comes out is smaller than the input.",
        "resnet50_fpn": "The backbone of the usual detectors: five maps of one width, for a head that you add.",
        "small_cnn": "A baseline to beat, made for such images; no accuracy of it is published.",
        "lenet5": "The least work there is; a baseline to beat, of 1998.",
    }
    return reasons[one.published.space]
