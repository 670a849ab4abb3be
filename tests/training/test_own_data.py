"""A data set of the user's own: its contract, its splits, and that a search has nothing of its test split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nas
from nas.errors import ConfigError, DataError
from nas.own_code import load_own
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.registry import check_files
from nas.training.data.splits import ImageData
from nas.training.data.test_split import Ledger, read_test_split
from nas.training.trained_on import TrainedOn, relation

DIGITS = '''
import numpy as np
from sklearn.datasets import load_digits

class Digits:
    """The digits of scikit-learn, as they are."""
    classes = tuple(map(str, range(10)))
    def train(self):
        bunch = load_digits()
        pixels = (bunch.images * (255 / 16)).round().astype(np.uint8)
        return list(zip(pixels, bunch.target))
'''

RANDOM = """
import numpy as np
import torch

def images(seed, count=60, shape=(8, 6)):
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 256, shape, dtype=np.uint8), i % 3) for i in range(count)]

class Set:
    classes = ["a", "b", "c"]
    def train(self):
        return images(0)
    def val(self):
        return images(1, 12)
    def test(self):
        return images(2, 9)
"""


def _config(folder: Path, source: str, name: str = "Set", **settings: Any) -> DataConfig:
    (folder / "my_data.py").write_text(source)
    return DataConfig(name="own", module=nas.own(f"{folder / 'my_data.py'}:{name}"), **settings)


def _load(folder: Path, source: str, name: str = "Set", **settings: Any) -> ImageData:
    return load_data(_config(folder, source, name, **settings))


def _all(images: Any) -> torch.Tensor:
    read: torch.Tensor = images.read(torch.arange(len(images.labels)))
    return read


def test_it_is_split_by_content_as_any_other(tmp_path: Path) -> None:
    """The same images, labels and classes from a file of the user's are the same data to the last bit."""
    data, built_in = _load(tmp_path, DIGITS, "Digits"), load_data(DataConfig())
    assert data.fingerprint == built_in.fingerprint
    assert (data.mean, data.std, data.classes) == (built_in.mean, built_in.std, built_in.classes)
    assert torch.equal(_all(data.train), _all(built_in.train))
    assert data.images == built_in.images


def test_splits_of_its_own_are_taken(tmp_path: Path) -> None:
    config = _config(tmp_path, RANDOM)
    data = load_data(config)
    assert data.images == {"train": 60, "val": 12, "test": 9}
    assert data.input_shape == (1, 8, 6)
    rng = np.random.default_rng(1)
    expected = {rng.integers(0, 256, (8, 6), dtype=np.uint8).tobytes(): i % 3 for i in range(12)}
    found = zip(_all(data.val).numpy(), data.val.labels.tolist(), strict=True)
    assert {pixels.tobytes(): label for pixels, label in found} == expected
    test = read_test_split(config, Ledger(tmp_path), arch_id="a", seed=0, purpose="")
    first = np.random.default_rng(2).integers(0, 256, (8, 6), dtype=np.uint8)
    assert any(np.array_equal(first, one[0]) for one in _all(test).numpy())


def test_a_search_keeps_nothing_of_the_test_split(tmp_path: Path) -> None:
    """Also where the images stay with the user: what is dropped is all that `test()` gave."""
    kept = RANDOM.replace("class Set:", "import gc, weakref\nGIVEN = []\nclass Split(list): pass\nclass Set:")
    kept = kept.replace(
        "return images(2, 9)", "split = Split(images(2, 9)); GIVEN.append(weakref.ref(split)); return split"
    )
    for memory in (4096, 0):
        config = _config(tmp_path, kept, memory_mib=memory)
        data = load_data(config)
        given = load_own(nas.own(f"{tmp_path / 'my_data.py'}:GIVEN"), "data.module")
        assert given, "test() was asked for the contents"
        assert given[-1]() is None
        assert data.test_images == 9


FORMS = {
    "grey": ("(5, 4)", "pixels", (1, 5, 4)),
    "channels last": ("(5, 4, 3)", "pixels", (3, 5, 4)),
    "channels first": ("(3, 5, 4)", "pixels", (3, 5, 4)),
    "torch": ("(3, 5, 4)", "torch.from_numpy(pixels)", (3, 5, 4)),
    "pillow": ("(5, 4, 3)", "Image.fromarray(pixels)", (3, 5, 4)),
}


@pytest.mark.parametrize("memory", [4096, 0], ids=["in memory", "read when needed"])
@pytest.mark.parametrize("form", FORMS)
def test_images_may_come_in_several_forms(tmp_path: Path, form: str, memory: int) -> None:
    shape, given, expected = FORMS[form]
    source = RANDOM.replace("(8, 6)", shape) + (
        "from PIL import Image\nclass Form(Set):\n"
        f"    def train(self):\n        return [({given}, torch.tensor(label)) for pixels, label in images(0)]\n"
    )
    data = _load(tmp_path, source, "Form", memory_mib=memory)
    assert data.input_shape == expected
    pixels = np.random.default_rng(0).integers(0, 256, eval(shape), dtype=np.uint8)
    wanted = pixels.reshape(expected) if pixels.ndim == 2 or shape[1] == "3" else np.moveaxis(pixels, 2, 0)
    assert any(np.array_equal(one, wanted) for one in _all(data.train).numpy())
    assert data.train.read(torch.zeros(0, dtype=torch.int64)).shape == (0, *expected)


def test_names_may_be_labels_and_root_an_argument(tmp_path: Path) -> None:
    source = RANDOM + (
        "class Named(Set):\n    def __init__(self, root):\n        self.root = root\n"
        "    def train(self):\n        return [(p, self.classes[k]) for p, k in images(int(self.root))]\n"
    )
    data = _load(tmp_path, source, "Named", root="0")
    assert data.fingerprint == _load(tmp_path, RANDOM).fingerprint
    with pytest.raises(DataError, match=r"data\.root is given, but .*Set has no argument root"):
        _load(tmp_path, RANDOM, root="0")


def test_a_changed_file_is_other_data(tmp_path: Path) -> None:
    """A process keeps the last data that it has loaded; by what the file holds, not by its name."""
    first = _load(tmp_path, RANDOM)
    assert _load(tmp_path, RANDOM.replace("images(0)", "images(7)")).fingerprint != first.fingerprint


CONTRACT = {
    "no classes": ("classes = ", "klasses = ", r"Set has no `classes`.*Did you mean 'klasses'"),
    "one class": ('["a", "b", "c"]', '["a"]', r"`classes` must be a list or tuple of two or more different names"),
    "text as classes": ('["a", "b", "c"]', '"abc"', r"`classes` must be a list or tuple.*but is str"),
    "numbers as classes": ('["a", "b", "c"]', "[1, 2, 3]", r"`classes` must be .*, but has 1"),
    "twice a class": ('["a", "b", "c"]', '["a", "b", "a"]', r"different names, but is \['a', 'b', 'a'\]"),
    "no train": ("def train", "def trains", r"has no `train\(\)`.*Did you mean 'trains'"),
    "train is data": ("def train(self):\n        return images(0)", "train = 3", r"`train` must be a function"),
    "an iterator": ("return images(0)", "return iter(images(0))", r"train\(\) must return something with len\(\)"),
    "a dict": ("return images(0)", "return dict(enumerate(images(0)))", r"train\(\) must return.*but got dict"),
    "empty": ("return images(1, 12)", "return []", r"val\(\) has no images; leave it out"),
    "no pair": ("return images(0)", "return [p for p, k in images(0)]", r"train\(\)\[0\] must be an image with its"),
    "floats": ("return images(0)", "return [(p / 255, k) for p, k in images(0)]", r"of float64.*255 \* x"),
    "whole numbers": ("return images(0)", "return [(p.astype(int), k) for p, k in images(0)]", "but is of int64"),
    "a line": ("shape=(8, 6)", "shape=(8,)", r"must have the shape \(height, width\).*but has \(8,\)"),
    "four channels": ("shape=(8, 6)", "shape=(8, 6, 4)", r"with 1 or 3 channels, but has \(8, 6, 4\)"),
    "either end": ("shape=(8, 6)", "shape=(3, 6, 3)", r"the first or the last number may be that of the channels"),
    "two sizes": ("return images(1, 12)", "return images(1, 12, (8, 7))", r"val\(\)\[0\] has the shape \(8, 7\), but"),
    "label too high": ("return images(0)", "return [(p, k + 1) for p, k in images(0)]", r"from 0 to 2, .*got 3"),
    "label below": ("return images(0)", "return [(p, -k) for p, k in images(0)]", r"\[1\] must be from 0 to 2.*got -1"),
    "label is no number": ("return images(0)", "return [(p, k / 1) for p, k in images(0)]", r"a whole number.*float"),
    "label is bool": ("return images(0)", "return [(p, k > 0) for p, k in images(0)]", r"must be a whole number.*bool"),
    "label is unknown": ("return images(0)", "return [(p, 'aa') for p, k in images(0)]", r"no class: 'aa'\."),
    "one-hot": ("return images(0)", "return [(p, np.eye(3)[k]) for p, k in images(0)]", r"must be a whole number"),
    "a class without images": ("return images(0)", "return [(p, 0) for p, k in images(0)]", "classes have no training"),
    "copies": ("return images(1, 12)", "return images(0, 12)", r"val must be other images than train, but 12 of"),
    "len lies": (
        "return images(0)",
        "return type('L', (list,), {'__len__': lambda self: 61})(images(0))",
        r"train\(\)\[60\] is not there, though len\(\) is 61",
    ),
    "random": (
        "return images(0)",
        "return type('R', (list,), {'__getitem__': lambda self, i: images(np.random.randint(9999))[0]})(images(0))",
        r"train\(\)\[0\] is another image or label when it is read again",
    ),
    "it fails": ("return images(0)", "return images(0) + 1 / 0", r"my_data\.py:12, in Set\.train: ZeroDivisionError"),
    "an item fails": (
        "return images(0)",
        "return type('F', (list,), {'__getitem__': lambda self, i: {}[i]})(images(0))",
        r"my_data\.py:12, in .*lambda>: KeyError: 0 \(my_data\.py:Set: train\(\)\[0\]\)",
    ),
    "it takes more": ("class Set:", "class Set:\n    def __init__(self, x): pass", r"Set\(x\) does not fit: missing a"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONTRACT)
def test_the_contract_is_checked(tmp_path: Path, what: str) -> None:
    old, new, message = CONTRACT[what]
    assert old in RANDOM
    with pytest.raises(DataError, match=message):
        _load(tmp_path, RANDOM.replace(old, new))


def test_an_image_in_two_splits_is_left_out_of_training(tmp_path: Path) -> None:
    data = _load(tmp_path, RANDOM.replace("return images(2, 9)", "return images(2, 9) + images(0, 5)"))
    assert data.images == {"train": 55, "val": 12, "test": 14}
    assert any("left out of train" in note for note in data.notes)


def test_settings_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    for use in (load_data, check_files):
        with pytest.raises(DataError, match=r"data own: give data\.module=FILE\.py:NAME"):
            use(DataConfig(name="own"))
    module = _config(tmp_path, RANDOM).module
    with pytest.raises(ConfigError, match=r"data\.module is of data=own, but data is digits"):
        DataConfig(module=module)
    with pytest.raises(DataError, match="must be a class or a function"):
        _load(tmp_path, RANDOM + "\nNUMBER = 3\n", "NUMBER")


def test_another_data_set_of_ones_own_is_other_data(tmp_path: Path) -> None:
    """A model may be scored on it; but not on the same one that is split in another way."""
    source = RANDOM + "\nclass Other(Set):\n    def train(self):\n        return images(5, 50)\n"
    config = _config(tmp_path, source)
    data = load_data(config)
    (tmp_path / "settings.json").write_text(json.dumps({"data": {"name": "own", "module": config.module}}))
    was = TrainedOn("own", data.fingerprint, (1, 2, 3))
    other = _config(tmp_path, source, "Other")
    assert "other data" in relation(was, load_data(other), other, [tmp_path])
    changed = _config(tmp_path, source.replace("images(0)", "images(3)"))
    with pytest.raises(DataError, match="split in another way"):
        relation(was, load_data(changed), changed, [tmp_path])
