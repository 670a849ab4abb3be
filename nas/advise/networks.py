"""Published networks, counted for the user's input, and the choice of those to start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log2

from nas.advise import rules_of_thumb as rules
from nas.advise.published import IMAGENET, OTHER_TASKS, SMALL_IMAGES, Published
from nas.advise.request import Request
from nas.cost import Constraint, Cost, check, cost_of, value_of
from nas.errors import NasError
from nas.network.ops import Shape
from nas.space import load_space

_MAX_OTHER_FAMILIES = 3


@dataclass(frozen=True, slots=True)
class CountedNetwork:
    """A published network with its cost at some input."""

    published: Published
    input_shape: Shape
    num_classes: int
    cost: Cost
    """At that input."""
    published_macs: int
    """Multiply-adds at the published input, at which the accuracy was reached."""

    @property
    def name(self) -> str:
        """The name of its space, with values for names of that."""
        return self.published.name

    @property
    def top1(self) -> float:
        """Published accuracy on ImageNet in per cent; 0 where there is none."""
        return self.published.top1 or 0.0

    def utility(self, price: float) -> float:
        """Return the accuracy less the price of its multiply-adds: at the largest utility a doubling stops to pay.

        Args:
            price: points of accuracy that a doubling of the multiply-adds has to bring.
        """
        return self.top1 - price * log2(self.published_macs)


@dataclass(frozen=True, slots=True)
class Start:
    """A network to start from, with the reason."""

    network: CountedNetwork
    reason: str


def candidates(request: Request) -> tuple[list[CountedNetwork], list[str]]:
    """Return the published networks for a request, whatever they cost, and why others cannot take the input."""
    table = OTHER_TASKS.get(request.task) or (SMALL_IMAGES if request.small_images else IMAGENET)
    networks, refused = [], []
    for published in table:
        if _left_out(published, request):
            continue
        try:
            network = _network(published, request.shape, request.classes)
        except NasError as error:
            refused.append(f"{published.name} cannot take the input: {error}")
            continue
        if not request.few_images or network.cost.params < rules.FEW_PARAMS:
            networks.append(network)
    return networks, refused


def _left_out(published: Published, request: Request) -> bool:
    return (published.family == "ViT" and not request.enough_for_transformers) or _made_for_larger(published, request)


def made_for_larger(request: Request) -> list[Published]:
    """Return the networks whose accuracy was published at inputs much larger than the user's."""
    if request.small_images or request.task != "classification":
        return []
    return [published for published in IMAGENET if _made_for_larger(published, request)]


def _made_for_larger(published: Published, request: Request) -> bool:
    if request.shape is None or published.top1 is None:
        return False
    return published.resolution > max(rules.USUAL_SIDE, rules.LARGER_INPUT * min(request.shape[1:]))


@lru_cache(maxsize=1024)
def _network(published: Published, input_shape: Shape | None, num_classes: int | None) -> CountedNetwork:
    """Count a network for an input and a number of classes; None takes those of its paper."""
    space = load_space(f"reference/{published.space}", **dict(published.let))
    own = (space.input_shape[0], *(published.resolution for _ in space.input_shape[1:]))
    shape, classes = input_shape or own, num_classes or space.num_classes
    work = cost_of(space.for_data(own, space.num_classes).decode({})).macs
    return CountedNetwork(published, shape, classes, cost_of(space.for_data(shape, classes).decode({})), work)


def within_limits(networks: Iterable[CountedNetwork], limits: Sequence[Constraint]) -> list[CountedNetwork]:
    """Return the networks that hold the limits."""
    return [network for network in networks if not any(violation.rejects for violation in check(network.cost, limits))]


def smallest(networks: Sequence[CountedNetwork], metric: str) -> tuple[CountedNetwork, float]:
    """Return the network with the smallest value of a metric, and that value."""
    best = min(networks, key=lambda network: value_of(network.cost, metric))
    return best, value_of(best.cost, metric)


def choose_starts(request: Request, networks: Sequence[CountedNetwork]) -> list[Start]:
    """Return the networks to start from, the one to try first in front.

    Args:
        request: of the user.
        networks: those that hold the limits; not empty.
    """
    if networks[0].published.top1 is None:
        return _by_work(request, networks)
    price = rules.price(
        request.device,
        request.effective_priority,
        few=request.few_images,
        many=request.many_images,
        pretrained=request.pretrained,
    )
    ranked = sorted(networks, key=lambda network: -network.utility(price))
    families: dict[str, CountedNetwork] = {}
    for network in ranked:
        families.setdefault(network.published.family, network)
    first = families["ResNet"] if request.unspecific and "ResNet" in families else ranked[0]
    resnets = [network for network in networks if network.published.family == "ResNet"]
    neighbours = _front_neighbours(first, resnets if request.unspecific else networks)
    named = {first.name, *(start.network.name for start in neighbours)}
    others = [network for network in families.values() if network.published.family != first.published.family]
    most = rules.COMPARABLE_WORK * first.published_macs
    comparable = [network for network in others if network.published_macs <= most][:_MAX_OTHER_FAMILIES]
    # ResNet, which most papers compare with, is shown in any case.
    baseline = [network for network in others if network.published.family == "ResNet" and network not in comparable]
    more = [network for network in (*comparable, *baseline) if network.name not in named]
    return [
        Start(first, _why_first(request, first, ranked, price)),
        *neighbours,
        *(Start(network, _why_other(network, first)) for network in more),
    ]


def _why_first(request: Request, first: CountedNetwork, ranked: Sequence[CountedNetwork], price: float) -> str:
    if request.unspecific:
        return (
            "Nothing says what it is for, so the network that most papers compare with comes first (rule of thumb; so "
            "do EfficientNet, RegNet and ConvNeXt in their tables)."
        )
    if price == 0:
        within = " within the limits" * bool(request.counted_limits)
        return f"The most accurate published one{within}, whatever it costs."
    dearer = [each for each in ranked if each.top1 > first.top1 and each.published_macs > first.published_macs]
    if not dearer:
        return "The most accurate published one within the limits."

    def gain(network: CountedNetwork) -> float:
        """Points of accuracy that a doubling of the multiply-adds brings."""
        return (network.top1 - first.top1) / log2(network.published_macs / first.published_macs)

    best = max(dearer, key=gain)
    return (
        f"The last one that is worth its work at {price:g} points of accuracy a doubling (rule of thumb for what is "
        f"asked): going on to {best.name} would bring {gain(best):.1f} a doubling."
    )


def _front_neighbours(first: CountedNetwork, networks: Sequence[CountedNetwork]) -> list[Start]:
    """Return the neighbours on the front of accuracy and multiply-adds: the best cheaper, the cheapest better one."""
    cheaper = [each for each in networks if each.published_macs < first.published_macs and each.top1 < first.top1]
    better = [each for each in networks if each.published_macs > first.published_macs and each.top1 > first.top1]
    starts = []
    if cheaper:
        network = max(cheaper, key=lambda network: network.top1)
        less, saved = first.top1 - network.top1, 1 - network.published_macs / first.published_macs
        starts.append(Start(network, f"The step down: {less:.1f} points less for {saved:.0%} less work."))
    if better:
        network = min(better, key=lambda network: network.published_macs)
        more, times = network.top1 - first.top1, network.published_macs / first.published_macs
        starts.append(Start(network, f"The step up: {more:.1f} points more for {times:.1f} times the work."))
    return starts


def _why_other(network: CountedNetwork, first: CountedNetwork) -> str:
    points, times = network.top1 - first.top1, network.published_macs / first.published_macs
    kind = "To compare with, the best" if points <= 0 and times >= 1 else "The best trade"
    return (
        f"{kind} of the {network.published.family} family: "
        f"{abs(points):.1f} points {'more' if points > 0 else 'less'} than {first.name} at {times:.2g} times the work."
    )


def _by_work(request: Request, networks: Sequence[CountedNetwork]) -> list[Start]:
    """Return networks without comparable accuracies: the fewest multiply-adds first, the most where quality counts."""
    quality = request.effective_priority in ("quality", "highest")
    ranked = sorted(networks, key=lambda network: network.cost.macs * (-1 if quality else 1))
    if request.task == "segmentation":  # the padded one gives a map of the input's size, which most people need
        ranked = sorted(networks, key=lambda network: network.published.space != "unet")
    return [Start(network, _why_by_work(request, network)) for network in ranked]


def _why_by_work(request: Request, network: CountedNetwork) -> str:
    reasons = {
        "fcn1d": "Three convolutions: the cheaper of the two baselines that the paper proposes.",
        "resnet1d": "The deeper baseline; first of nine networks on 85 sets in Ismail Fawaz et al. 2019.",
        "unet": "A map of the input's size comes out, so it fits any side that 16 divides.",
        "unet_paper": "As published: unpadded, so the map that comes out is smaller than the input.",
        "resnet50_fpn": "The backbone of the usual detectors: five maps of one width, for a head that you add.",
        "small_cnn": "A baseline to beat, made for such images; no accuracy of it is published.",
        "lenet5": "The least work there is; a baseline to beat, of 1998.",
    }
    return reasons[network.published.space]
