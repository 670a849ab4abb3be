"""What the advice does not know, and what follows from the data, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.advise import rules_of_thumb as rules
from nas.advise.networks import Start, made_for_larger
from nas.advise.request import Wanted
from nas.advise.space_choice import Region


def notes(wanted: Wanted, found: Sequence[Start], where: Region) -> tuple[str, ...]:
    """Return what the user has to know beside the advice."""
    return (*_task(wanted), *_accuracy(wanted, found, where), *_images(wanted), *_latency(wanted, where))


def _task(wanted: Wanted) -> Iterator[str]:
    if wanted.task not in rules.TRAINED:
        yield (
            f"nas has no training code for {wanted.task} yet, so `python -m nas.search` cannot search for it; costs, "
            "limits, drawings and building the network in Python work today."
        )
    elif not wanted.trained:
        assert wanted.shape is not None
        yield (
            f"The data sets of nas have 1 or 3 channels, not {wanted.shape[0]}, so `python -m nas.search` cannot train "
            "on such images; a search from Python with your own training can."
        )
    if wanted.task in ("segmentation", "detection"):
        yield (
            f"No space in search_spaces/ holds networks for {wanted.task}; a space of your own can, since a space file "
            "knows all their blocks."
        )
    if wanted.task == "detection":
        yield "The costs are those of the backbone; the heads, and the number of classes in them, are not counted."


def _accuracy(wanted: Wanted, found: Sequence[Start], where: Region) -> Iterator[str]:
    if any(one.network.published.top1 is not None for one in found):
        yield (
            "Accuracies are published ones: ImageNet, 1.28 million images, each with its paper's training and input. "
            "On other data expect other figures, and at best about the same order."
        )
    larger = made_for_larger(wanted)
    if larger:
        sizes = sorted({one.resolution for one in larger})
        yield (
            f"Left out, since their accuracy was published at inputs of {sizes[0]} to {sizes[-1]}, larger than yours: "
            f"{', '.join(one.space for one in larger)}. Where the images have it, give a larger --data."
        )
    if wanted.small and wanted.task == "classification":
        yield (
            f"No network of the table was published for inputs under {rules.SMALLEST_SIDE}: those networks shrink such "
            "a map to almost a point. So spaces made for small images come first, and nothing is known of accuracy "
            "beforehand. Images that are scaled up, as for pretrained weights, have the larger --data."
        )
    if wanted.task == "classification" and wanted.classes is None:
        yield "Costs are counted with 1,000 classes as on ImageNet; --classes says yours."
    if found and where.choices and found[0].network.cost.params > where.choices[0].params[1] and not wanted.small:
        yield (
            f"{where.choices[0].space.name} holds networks smaller than {found[0].network.name}: a search finds good "
            "cheap ones; for that accuracy train the published one too."
        )


def _images(wanted: Wanted) -> Iterator[str]:
    if wanted.task == "series":
        return
    few = f"{wanted.images or 0:,} images are few (under {rules.FEW_IMAGES:,}, rule of thumb)"
    if wanted.pretrained:
        yield (
            f"{f'{few}: transfer' if wanted.few else 'Transfer'} from pretrained weights is the thing to try first; "
            "networks that are better on ImageNet are mostly better after it (Kornblith et al. 2019). nas ships no "
            "weights: fine-tune the networks above with torchvision or timm, where they are the same networks."
        )
    elif wanted.few:
        yield (
            f"{few}: without pretrained weights take small networks and strong augmentation; the strongest that nas "
            "has is data.augment=shift_flip (shift where a mirror image means something else). Where weights may be "
            "used after all, say --pretrained."
        )
    if wanted.transformers:
        yield (
            f"{wanted.images:,} images are enough for vision transformers to be an option (from "
            f"{rules.VERY_MANY_IMAGES:,} without other weights: Dosovitskiy et al. 2021, Touvron et al. 2021)."
        )
    elif wanted.many:
        yield (
            f"{wanted.images:,} images are many, so larger networks pay (rule of thumb); vision transformers are left "
            f"out below {rules.VERY_MANY_IMAGES:,} images without pretrained weights."
        )


def _latency(wanted: Wanted, where: Region) -> Iterator[str]:
    if wanted.device is not None and wanted.trained:
        yield (
            "Multiply-adds are not time: depthwise convolutions, as in MobileNet and EfficientNet, wait for memory, "
            "and on GPUs a ResNet with more of them can be faster."
        )
    if wanted.latency_ms is None:
        return
    yield (
        "Nobody can know the latency on your device from here: measure it on the device or on one like it, with the "
        "runtime, batch and threads that you will use; nas.export.onnx.graph.to_onnx writes a network for that."
    )
    if not wanted.trained or not where.choices:
        return
    yield (
        "constraints.latency_ms is measured where the search runs: run it on the device or on one like it; "
        "python -m nas.calibrate there first saves most of the measuring."
    )
    if wanted.priority is None and wanted.device == "mobile":
        yield (
            f"Priority {wanted.aim} follows from the latency: MobileNetV3-Large took {rules.PHONE_MS:g} ms on one core "
            "of a Pixel 1 (Howard et al. 2019, table 3)."
        )
