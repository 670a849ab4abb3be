"""Notes on an advice: caveats on task, accuracy and latency, and what follows from the number of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.advise import rules_of_thumb as rules
from nas.advise.networks import Start, made_for_larger
from nas.advise.request import Request
from nas.advise.space_choice import Region


def notes(request: Request, starts: Sequence[Start], region: Region) -> tuple[str, ...]:
    """Return the notes on an advice, a sentence or more each."""
    return (*_task(request), *_accuracy(request, starts, region), *_images(request), *_latency(request, region))


def _task(request: Request) -> Iterator[str]:
    if request.task not in rules.TRAINED:
        yield (
            f"nas has no training code for {request.task} yet, so `python -m nas.search` cannot search for it; "
            "costs, limits, drawings and building the network in Python work today."
        )
    elif not request.trainable:
        assert request.shape is not None
        yield (
            f"The data sets of nas have 1 or 3 channels, not {request.shape[0]}, so `python -m nas.search` cannot "
            "train on such images; a search from Python with your own training can."
        )
    if request.task == "detection":
        yield (
            f"No space in search_spaces/ holds networks for {request.task}; a space of your own can, since a space "
            "file knows all their blocks."
        )
    if request.task == "detection":
        yield "The costs are those of the backbone; the heads, and the number of classes in them, are not counted."


def _accuracy(request: Request, starts: Sequence[Start], region: Region) -> Iterator[str]:
    if any(each.network.published.top1 is not None for each in starts):
        yield (
            "Accuracies are published ones: ImageNet, 1.28 million images, each with its paper's training and input. "
            "On other data expect other figures, and at best about the same order."
        )
    larger = made_for_larger(request)
    if larger:
        sizes = sorted({each.resolution for each in larger})
        yield (
            f"Left out, since their accuracy was published at inputs of {sizes[0]} to {sizes[-1]}, larger than yours: "
            f"{', '.join(each.space for each in larger)}. Where the images have it, give a larger --data."
        )
    if request.small_images and request.task == "classification":
        yield (
            f"No network of the table was published for inputs under {rules.SMALLEST_SIDE}: those networks shrink such "
            "a map to almost a point. So spaces made for small images come first, and nothing is known of accuracy "
            "beforehand. Images that are scaled up, as for pretrained weights, have the larger --data."
        )
    if request.task == "classification" and request.classes is None:
        yield "Costs are counted with 1,000 classes as on ImageNet; --classes says yours."
    if not starts or not region.choices or request.small_images:
        return
    network, choice = starts[0].network, region.choices[0]
    if network.cost.params > choice.params[1]:
        yield (
            f"{choice.space.name} holds networks smaller than {network.name}: a search finds good cheap ones; for that "
            "accuracy train the published one too."
        )


def _images(request: Request) -> Iterator[str]:
    if request.task == "series":
        return
    few = f"{request.images or 0:,} images are few (under {rules.FEW_IMAGES:,}, rule of thumb)"
    if request.pretrained:
        yield (
            f"{f'{few}: transfer' if request.few_images else 'Transfer'} from pretrained weights is the thing to try "
            "first; networks that are better on ImageNet are mostly better after it (Kornblith et al. 2019). nas ships "
            "no weights: fine-tune the networks above with torchvision or timm, where they are the same networks."
        )
    elif request.few_images:
        yield (
            f"{few}: without pretrained weights take small networks and strong augmentation; the strongest that nas "
            "has is data.augment=shift_flip (shift where a mirror image means something else). Where weights may be "
            "used after all, say --pretrained."
        )
    if request.enough_for_transformers:
        yield (
            f"{request.images:,} images are enough for vision transformers to be an option (from "
            f"{rules.VERY_MANY_IMAGES:,} without other weights: Dosovitskiy et al. 2021, Touvron et al. 2021)."
        )
    elif request.many_images:
        yield (
            f"{request.images:,} images are many, so larger networks pay (rule of thumb); vision transformers are left "
            f"out below {rules.VERY_MANY_IMAGES:,} images without pretrained weights."
        )


def _latency(request: Request, region: Region) -> Iterator[str]:
    if request.device is not None and request.trainable:
        yield (
            "Multiply-adds are not time: depthwise convolutions, as in MobileNet and EfficientNet, wait for memory, "
            "and on GPUs a ResNet with more of them can be faster."
        )
    if request.latency_ms is None:
        return
    yield (
        "Nobody can know the latency on your device from here: measure it on the device or on one like it, with the "
        "runtime, batch and threads that you will use; nas.exporting.onnx.graph.to_onnx writes a network for that."
    )
    if not request.trainable or not region.choices:
        return
    yield (
        "constraints.latency_ms is measured where the search runs: run it on the device or on one like it; "
        "python -m nas.calibrate there first saves most of the measuring."
    )
    if request.priority is None and request.device == "mobile":
        yield (
            f"Priority {request.effective_priority} follows from the latency: MobileNetV3-Large took "
            f"{rules.PHONE_MS:g} ms on one core of a Pixel 1 (Howard et al. 2019, table 3)."
        )
