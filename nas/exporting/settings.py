"""Settings of what is written for other programs. Never loads onnx."""

from __future__ import annotations

from dataclasses import dataclass

from nas.settings import Range, check_settings, setting

INT8 = ("auto", "faster", "smaller", "never")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSettings:
    """What is written beside the network in fp32, and when."""

    int8: str = setting(
        "auto",
        f"{', '.join(INT8)}: when model.int8.onnx is kept, which is measured beside fp32; auto: faster or smaller",
        INT8,
    )
    max_drop: float = setting(
        0.5,
        "points of validation accuracy, or hundredths of what another task has in its place, that int8 may lose at "
        "most, or it is not kept",
        Range(0, 100),
    )
    calibration_images: int = setting(
        256, "training images that the ranges of 8-bit activations come from", Range(1, 1_000_000, whole=True)
    )
    executorch: bool = setting(False, "write model.pte too, for phones and boards; needs the extra executorch")

    def __post_init__(self) -> None:
        check_settings(self, "export")
