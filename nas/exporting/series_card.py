"""What card.md says of a network for series in other words than of one for pictures."""

from __future__ import annotations

import re

from nas.exporting.series_preprocess import SeriesPreprocess
from nas.exporting.series_words import MEAN

_PICTURES = re.compile(r"\b(pictures?|images?)\b")


def of_series(text: str) -> str:
    """Return what is said of pictures as it is said of series: their plural is their singular."""
    return _PICTURES.sub("series", text)


def named(name: str, model: str) -> str:
    """Return the name of a model, of which the task's own word at its beginning is of images."""
    start = f"{model[0].upper()}{model[1:]}"
    changed = of_series(model)
    return f"{changed[0].upper()}{changed[1:]}{name.removeprefix(start)}" if name.startswith(start) else name


def trained_on(preprocess: SeriesPreprocess) -> str:
    """Return the sentences that say what series it was trained on."""
    channels = f"{preprocess.channels} channel{'s' * (preprocess.channels > 1)}"
    said = f"It was trained on series of {channels} and {preprocess.length:,} steps"
    if not preprocess.mask:
        return f"{said}, and takes series of just this length.{_missing(preprocess)}"
    return (
        f"{said}: the first ones of longer series, and of shorter ones with steps behind them that are told to be "
        f"absent by a further channel, the mask.{_missing(preprocess)}"
    )


def _missing(preprocess: SeriesPreprocess) -> str:
    if preprocess.missing == MEAN:
        return " Missing values are NaN; the mean of the training split stands in their place."
    return " No value may be missing."


EXAMPLES = {
    "predict.py": """\
```bash
pip install numpy onnxruntime
python predict.py measured.ts more.tsv --top 3   # also .csv, and .npz with an array x; --help says what stands in them
```""",
    "model.onnx": """\
```python
import json, numpy as np, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
series = np.load("measured.npz")["x"].astype(np.float32)  # (n, {channels}, {length}), NaN where there is no value
{outputs} = session.run(None, {{"series": series}})
{show}
```""",
    "model.int8.onnx": "The same lines as for `model.onnx`: input, outputs and metadata are the same.",
    "model.pte": (
        "For ExecuTorch on phones and boards: one series of (1, {inputs}, {size}), normalised as preprocess.json says, "
        "in fp32."
    ),
    "model.py": """\
```python
import torch
from model import load
network = load("model.safetensors")  # pip install torch safetensors
with torch.inference_mode():
    logits = network(torch.zeros(1, {inputs}, {size}))  # a series normalised as preprocess.json says
```""",
    "model.safetensors": """\
```python
from safetensors.torch import load_file
weights = load_file("model.safetensors")  # the state dict of Network in model.py
```""",
    "preprocess.json": (
        "What is done to a series before the network sees it, all of which the .onnx files do themselves. It is cut "
        "after `length` steps, or has absent ones behind it. Then `normalise`: of each value (value - mean) / std with "
        "the `mean` and `std` of its channel, and 0 where there is none. Where `mask` is true, a channel is put behind "
        "the others: 1 at steps where any channel has a value, else 0. Where `network_length` is given, all of that is "
        "then resized to it, linear with antialiasing. `classes` are the network's outputs in order."
    ),
}
"""How each file is used."""


def places(preprocess: SeriesPreprocess) -> dict[str, object]:
    """Return what stands in the places of `EXAMPLES`, beside the words of the task."""
    return {
        "channels": preprocess.channels,
        "length": "length" if preprocess.mask else preprocess.length,
        "inputs": preprocess.shape[0],
        "size": preprocess.size[0],
    }
