"""Published accuracies of the networks in `search_spaces/reference/`, with their sources; costs are counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """A published network of `search_spaces/reference/`."""

    space: str
    """Its name in `search_spaces/reference/`."""
    family: str
    resolution: int
    """Pixels of a side of the input at which it was published."""
    top1: float | None
    """Per cent right at the first guess on ImageNet's validation set, one model, one crop; None: not for ImageNet."""
    source: str
    """The source of the accuracy, or of the network."""
    let: tuple[tuple[str, float], ...] = ()
    """Values for names of the space that are not its own."""

    @property
    def name(self) -> str:
        """The network as commands take it: its space, with `--let` for names of that."""
        return f"reference/{self.space}" + "".join(f" --let {name}={value:g}" for name, value in self.let)


_HUANG = "Huang et al. 2017, DenseNet, table 3"
_MOBILENET = "Howard et al. 2017, MobileNets, table 6"
_MOBILENET_V2 = "Sandler et al. 2018, MobileNetV2, table 4"
_MOBILENET_V3 = "Howard et al. 2019, MobileNetV3, table 3"
_TAN = "Tan & Le 2019, EfficientNet, table 2"
_DEIT = "Touvron et al. 2021, DeiT, table 5: trained on ImageNet alone"
_TORCHVISION = "torchvision, table of weights, IMAGENET1K_V1"

# ResNets are torchvision's, since those are these networks (stride in the 3x3) under one recipe; the single crops of He
# et al. themselves are 75.3, 76.4 and 77.0 for 50, 101 and 152 layers, without that stride. Networks whose accuracy was
# published for another variant only, or in figures that disagree, are left out.
IMAGENET: tuple[Published, ...] = (
    Published("vgg11", "VGG", 224, 69.0, _TORCHVISION),
    Published("vgg16", "VGG", 224, 71.6, _TORCHVISION),
    Published("resnet18", "ResNet", 224, 69.8, _TORCHVISION),
    Published("resnet34", "ResNet", 224, 73.3, _TORCHVISION),
    Published("resnet50", "ResNet", 224, 76.1, _TORCHVISION),
    Published("resnet101", "ResNet", 224, 77.4, _TORCHVISION),
    Published("resnet152", "ResNet", 224, 78.3, _TORCHVISION),
    Published("googlenet", "Inception", 224, 69.8, _TORCHVISION),
    Published("inception_v3", "Inception", 299, 78.8, "Szegedy et al. 2016, Inception v3, table 3"),
    Published("densenet121", "DenseNet", 224, 74.98, _HUANG),
    Published("densenet169", "DenseNet", 224, 76.2, _HUANG),
    Published("densenet201", "DenseNet", 224, 77.42, _HUANG),
    Published("mobilenet_v1", "MobileNet", 224, 50.6, _MOBILENET, (("width", 0.25),)),
    Published("mobilenet_v1", "MobileNet", 224, 63.7, _MOBILENET, (("width", 0.5),)),
    Published("mobilenet_v1", "MobileNet", 224, 68.4, _MOBILENET, (("width", 0.75),)),
    Published("mobilenet_v1", "MobileNet", 224, 70.6, _MOBILENET),
    Published("mobilenet_v2", "MobileNet", 224, 72.0, _MOBILENET_V2),
    Published("mobilenet_v2", "MobileNet", 224, 74.7, _MOBILENET_V2, (("width", 1.4),)),
    Published("mobilenet_v3_small", "MobileNet", 224, 67.4, _MOBILENET_V3),
    Published("mobilenet_v3_large", "MobileNet", 224, 75.2, _MOBILENET_V3),
    Published("squeezenet1_0", "SqueezeNet", 224, 57.5, "Iandola et al. 2016, SqueezeNet, table 2"),
    Published("squeezenet1_1", "SqueezeNet", 224, 58.2, _TORCHVISION),
    Published("efficientnet_b0", "EfficientNet", 224, 77.1, _TAN),
    Published("efficientnet_b1", "EfficientNet", 240, 79.1, _TAN),
    Published("efficientnet_b2", "EfficientNet", 260, 80.1, _TAN),
    Published("efficientnet_b3", "EfficientNet", 300, 81.6, _TAN),
    Published("efficientnet_b4", "EfficientNet", 380, 82.9, _TAN),
    Published("efficientnet_b5", "EfficientNet", 456, 83.6, _TAN),
    Published("efficientnet_b6", "EfficientNet", 528, 84.0, _TAN),
    Published("efficientnet_b7", "EfficientNet", 600, 84.3, _TAN),
    Published("convnext_tiny", "ConvNeXt", 224, 82.1, "Liu et al. 2022, ConvNeXt, table 1"),
    Published("vit_tiny_16", "ViT", 224, 72.2, _DEIT),
    Published("vit_small_16", "ViT", 224, 79.8, _DEIT),
    Published("vit_b_16", "ViT", 224, 81.8, _DEIT),
)

SMALL_IMAGES: tuple[Published, ...] = (
    Published("small_cnn", "small", 32, None, "a small network of teaching material"),
    Published("lenet5", "small", 32, None, "LeCun et al. 1998, section II.B"),
)

OTHER_TASKS: dict[str, tuple[Published, ...]] = {
    "series": (
        Published("fcn1d", "series", 128, None, "Wang et al. 2017, figure 1b"),
        Published("resnet1d", "series", 128, None, "Wang et al. 2017, figure 1c"),
    ),
    "segmentation": (
        Published("unet", "U-Net", 256, None, "Ronneberger et al. 2015, with padding and batch normalisation"),
        Published("unet_paper", "U-Net", 572, None, "Ronneberger et al. 2015, figure 1"),
    ),
    "detection": (Published("resnet50_fpn", "FPN", 800, None, "Lin et al. 2017, section 3, on a ResNet-50"),),
}

SPACES: dict[str, str] = {
    "EfficientNet": "mbconv",
    "MobileNet": "mobilenet_v3",
    "ResNet": "resnet",
    "DenseNet": "densenet",
    "SqueezeNet": "squeezenet",
    "Inception": "inception",
    "VGG": "vgg",
    "ViT": "vit",
}
"""The search space around each family."""
