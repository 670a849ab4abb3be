"""A folder with files of every odd kind: bad ones are named at one start, and the others are read as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.odd_files import COPIES, LEFT_OUT, Expected
from benchmarks.odd_folder import make, read_right
from nas.errors import DataError
from nas.training.data.config import DataConfig
from nas.training.data.load import load_data
from nas.training.data.registry import check_files

Odd = tuple[Path, Mapping[str, Sequence[Path]], Sequence[tuple[str, Expected]]]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Odd:
    root = tmp_path_factory.mktemp("odd")
    return root, *make(root, 24, 2, 0, (48, 32))


def _config(root: Path, **changes: object) -> DataConfig:
    return DataConfig(name="image_folder", root=str(root), resolution=8, **changes)  # type: ignore[arg-type]


def test_one_start_names_all_that_cannot_be_used_and_nothing_else(odd: Odd) -> None:
    root, bad, read = odd
    assert len(bad) >= 20
    with pytest.raises(DataError) as raised:
        check_files(_config(root))
    said = str(raised.value)
    assert [path for paths in bad.values() for path in paths if path.name not in said] == []
    assert [expected.path for _, expected in read if expected.path.name in said] == []
    assert [name for _, names in LEFT_OUT.values() for name in names if name in said] == []
    assert said.startswith(f"data image_folder: {COPIES * len(bad)} of {24 + len(read) + COPIES * len(bad)} files")


def test_odd_pictures_have_the_pixels_that_they_were_made_with(odd: Odd) -> None:
    assert [kind for kind, expected in odd[2] if not read_right(expected)] == []


def test_all_but_the_bad_files_are_trained_on(odd: Odd) -> None:
    root, _, read = odd
    data = load_data(_config(root, bad="skip"))
    assert sum(data.images.values()) == 24 + len(read)
