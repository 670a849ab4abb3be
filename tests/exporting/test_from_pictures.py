"""From files of pictures to what predict.py, in a process of its own, says of them; against the training pipeline."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nas
from nas.exporting.int8 import outputs
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.recipe import Recipe
from tests.exporting.png_by_hand import png

CLASSES = ("across", "down", "neither")


def _picture(rng: np.random.Generator, label: int, channels: int) -> Image.Image:
    """Stripes that lie, stand, or are not there, of any size, in noise that makes some hard to tell."""
    height, width = rng.integers(18, 70, 2)
    rows, columns = np.mgrid[:height, :width]
    stripes = (np.sin(rows / height * 25), np.sin(columns / width * 25), np.zeros((height, width)))[label]
    tint = rng.uniform(-30, 30, channels)
    levels = 128 + tint + stripes[:, :, None] * rng.uniform(5, 60) + rng.normal(0, 45, (height, width, channels))
    pixels = levels.clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


_MADE = {
    # 12 bits in 16, of which 8 keep what the picture was.
    "deep": lambda levels: png(levels[:, :, None].astype(int) * 16 + 7, 16),
    # All is in the transparency, on black.
    "alpha": lambda levels: png(np.pad(levels[:, :, None], ((0, 0), (0, 0), (3, 0))), 8),
}


def _folder(root: Path, channels: int, ending: str) -> Path:
    rng = np.random.default_rng(channels)
    for label, name in enumerate(CLASSES):
        (root / "train" / name).mkdir(parents=True)
        for number in range(150):
            if ending in ("deep", "alpha"):
                levels = np.asarray(_picture(rng, label, 1))
                (root / "train" / name / f"{number}.png").write_bytes(_MADE[ending](levels))
                continue
            more: dict[str, Any] = {"quality": int(rng.integers(40, 95))} if ending == "jpg" else {}
            _picture(rng, label, channels).save(root / "train" / name / f"{number}.{ending}", **more)
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "ending", "fit"), [(3, "jpg", "crop"), (1, "png", "crop"), (1, "deep", "pad"), (3, "alpha", "squash")]
)
def test_what_ships_says_what_training_says(tmp_path: Path, channels: int, ending: str, fit: str) -> None:
    """Of pictures of all sizes: JPEGs in colour, grey PNGs, 12 bits in 16, and shapes of transparency alone."""
    root = _folder(tmp_path / "pictures", channels, ending)
    data = DataConfig(name="image_folder", root=str(root), resolution=20, channels=channels, val_fraction=0.4, fit=fit)
    space = nas.load_space("reference/small_cnn").for_data((channels, 20, 20), 3)
    model = nas.train(space.decode({}), data, replace(Recipe(), epochs=6), folder=tmp_path / "run")
    paths = nas.export(model, tmp_path / "shipped")
    val = load_data(data).val
    files = [str(path) for path in val.files]  # type: ignore[attr-defined]
    words = [sys.executable, str(tmp_path / "shipped" / "predict.py"), *files, "--top", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    said = [row["class"] for row in csv.DictReader(io.StringIO(done.stdout))]
    accuracy = np.mean([name == Path(file).parent.name for name, file in zip(said, files, strict=True)])
    trained = model.evaluation.scores["val_accuracy"]
    assert abs(accuracy - trained) < 0.001
    assert 0.5 < trained < 1, "it learned something, and not all"
    assert [one.top[0][0] for one in nas.predict(tmp_path / "shipped", files)] == said
    # Scored on the same files, which whoever asks may not know how to read.
    asked = replace(data, background="black", depth="auto" if ending != "deep" else 16, fit="crop")
    for folder in (tmp_path / "run", tmp_path / "shipped"):
        assert nas.evaluate(folder, asked).scores.accuracy == pytest.approx(trained, abs=1e-9)

    # The file itself, for one picture and for seven at a time, beside torch behind the same preprocessing.
    pixels = val.read(torch.arange(7))
    now = load_data(data)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (now.mean, now.std))
    with torch.no_grad():
        expected = model.network()((pixels / 255 - mean) / std).numpy()
    onnx, levels = paths[0].read_bytes(), pixels.permute(0, 2, 3, 1).numpy()
    (seven,) = outputs(onnx, [levels])
    np.testing.assert_allclose(seven, expected, atol=1e-4)
    ones = np.concatenate([*outputs(onnx, [levels[i : i + 1] for i in range(7)])])
    np.testing.assert_allclose(ones, expected, atol=1e-4)
