"""What card.md says of models of pictures alone."""

from __future__ import annotations

from collections.abc import Iterator

from nas.exporting.preprocess import Preprocess
from nas.exporting.reading import COVER_CROP, DROP, FULL_DEPTH, PAD, SQUASH
from nas.training.tasks.registry import task_named


def trained_on(preprocess: Preprocess) -> str:
    """Return the sentences that say what pictures it was trained on."""
    channels, height, width = preprocess.shape
    return (
        f"It was trained on {'grey' if channels == 1 else 'RGB'} pictures of {width}x{height} pixels, to which others "
        f"are {_BROUGHT[preprocess.resize]}. {_seen(preprocess)}"
    )


_BROUGHT = {
    COVER_CROP: "scaled and cut",
    PAD: "scaled, with the background at their sides",
    SQUASH: "scaled, whatever their own proportions",
}


def _seen(preprocess: Preprocess) -> str:
    deep = f", and files with 16 bits a level are read as levels of {preprocess.depth} bits"
    return f"Transparency {_laid(preprocess)}{deep if preprocess.depth < FULL_DEPTH else ''}."


def _laid(preprocess: Preprocess) -> str:
    return "is dropped" if preprocess.background == DROP else f"is laid on `{preprocess.background}`"


EXAMPLES = {
    "predict.py": """\
```bash
pip install numpy pillow onnxruntime
python predict.py photo.jpg more/*.png {options}
```""",
    "model.onnx": """\
```python
import json, numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession("model.onnx")
pixels = np.array(Image.open("photo.jpg").convert("{mode}"), dtype=np.uint8)[{index}]  # any size, not transparent
{outputs} = session.run(None, {{"pixels": pixels}})
{show}
```""",
    "model.int8.onnx": "The same lines as for `model.onnx`: input, outputs and metadata are the same.",
    "model.pte": (
        "For ExecuTorch on phones and boards: one picture of (1, {channels}, {height}, {width}), normalised as "
        "preprocess.json says, in fp32."
    ),
    "model.py": """\
```python
import torch
from model import load
network = load("model.safetensors")  # pip install torch safetensors
with torch.inference_mode():
    logits = network(torch.zeros(1, {channels}, {height}, {width}))  # a picture normalised as preprocess.json says
```""",
    "model.safetensors": """\
```python
from safetensors.torch import load_file
weights = load_file("model.safetensors")  # the state dict of Network in model.py
```""",
    "preprocess.json": "{steps}",
}
"""How each file is used."""


def places(preprocess: Preprocess) -> dict[str, object]:
    """Return what stands in the places of `EXAMPLES`, beside the words of the task."""
    grey = preprocess.shape[0] == 1
    return {
        "mode": "L" if grey else "RGB",
        "index": "None, :, :, None" if grey else "None",
        "channels": preprocess.shape[0],
        "height": preprocess.size[0],
        "width": preprocess.size[1],
        "steps": " ".join(_steps(preprocess)),
    }


def _steps(preprocess: Preprocess) -> Iterator[str]:
    """Yield what preprocess.json says of this network, in sentences."""
    _, height, width = preprocess.shape
    over = ", and what is then over 255 is 255" if preprocess.depth < FULL_DEPTH else ""
    yield (
        "What is done to a picture before the network sees it. When its file is read, as predict.py does, its first "
        f"frame is turned as its EXIF data say, levels of 16 bits are divided by {2 ** (preprocess.depth - 8)}{over}, "
        f"and transparency {_laid(preprocess)}. The rest the .onnx files do themselves."
    )
    yield f"The picture is {_RESIZED[preprocess.resize]} {width}x{height} pixels, bilinear with antialiasing, as Pillow"
    yield "does it. Each level from 0 to 255 becomes (level / 255 - `mean`) / `std`, by its channel."
    if preprocess.network_size:
        height, width = preprocess.network_size
        yield f"The result is resized to {width}x{height}, bilinear with antialiasing."
    yield "`classes` are the network's outputs in order."
    if task_named(preprocess.task).dense:
        yield "Its maps are resized to the picture's size of before, in the same way."


_RESIZED = {
    COVER_CROP: "scaled so that it covers, and cut at the centre to,",
    PAD: "scaled so that it fits into, in the middle of the background,",
    SQUASH: "scaled to just",
}
