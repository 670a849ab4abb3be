"""The cache of a folder of pictures: the same data as without it, whatever happens to it."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nas.commands.clean import main as clean
from nas.errors import DataError, HeldOutError
from nas.exporting.reading import Reading
from nas.held_out import reading_test_split, without_test_split
from nas.training.data import processes as processes_module
from nas.training.data.batches import Batches
from nas.training.data.cache import cached as cached_module
from nas.training.data.cache import decoders as decoders_module
from nas.training.data.cache import make as make_module
from nas.training.data.cache.cached import cached
from nas.training.data.cache.clearing import entries_in, remove_entries
from nas.training.data.cache.decode import Task, answer_to, task_from
from nas.training.data.cache.decoders import decoded
from nas.training.data.cache.entry import INDEX, SEARCHED_FILE, TEST_FILE
from nas.training.data.cache.pixels import PixelFile
from nas.training.data.cache.place import cache_folder
from nas.training.data.cached_images import CachedImages
from nas.training.data.config import DataConfig
from nas.training.data.content import TEST, TRAIN
from nas.training.data.image_files import FileImages
from nas.training.data.pictures import Seen
from nas.training.data.registry import DATA_SETS, check_files
from nas.training.data.splits import Images, Splits
from nas.training.data.test_split import Ledger, read_test_split
from tests.training.folders.pictures import encoded, folder, picture, save


class _Here:
    """Stands in for a process that decodes, whose start takes long, and does the same in this one."""

    def __init__(self, module: str) -> None:
        assert module == decoders_module._MODULE
        self.stdin = self.stdout = self
        self._task: Task | None = None
        self._answer = b""

    def write(self, line: bytes) -> None:
        said = json.loads(line)
        if self._task is None:
            self._task = task_from(said)
        else:
            self._answer = json.dumps(answer_to(said, self._task)).encode() + b"\n"

    def readline(self) -> bytes:
        return self._answer

    def flush(self) -> None: ...

    def kill(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            os.close(self._task.pixels)


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(decoders_module, "cores", lambda: 1)
    if "processes" not in request.fixturenames:
        monkeypatch.setattr(processes_module, "_started", _Here)


@pytest.fixture
def processes() -> None:
    """Has real processes decode."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Thirty-six pictures in two classes."""
    return folder(tmp_path / "photos", "cat", "dog", count=18)


def _config(root: Path, cache: Path | str = "none", **changes: object) -> DataConfig:
    return DataConfig(name="image_folder", root=str(root), cache=str(cache), **changes)  # type: ignore[arg-type]


def _load(config: DataConfig, *, test: bool = True) -> Splits:
    if not test:
        return DATA_SETS["image_folder"].load(config)
    with reading_test_split():
        return DATA_SETS["image_folder"].load(config)


def _all(images: Images | None) -> tuple[bytes, list[int], list[str]]:
    assert images is not None
    pixels = images.read(torch.arange(len(images.labels)))
    return pixels.numpy().tobytes(), images.labels.tolist(), [*map(str, images.files)]  # type: ignore[attr-defined]


def _assert_same(with_cache: Splits, without: Splits) -> None:
    assert with_cache.data.record() == without.data.record()
    assert with_cache.data.reading == without.data.reading
    for own, other in (
        (with_cache.data.train, without.data.train),
        (with_cache.data.val, without.data.val),
        (with_cache.test, without.test),
    ):
        assert _all(own) == _all(other)


@pytest.fixture
def decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forbids to decode files from when it is called on."""

    def forbid() -> None:
        monkeypatch.setattr(make_module, "decoded", None)
        monkeypatch.setattr(cached_module, "make_entry", None)

    return forbid


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Pictures of all sizes and kinds, in splits; one is in two of them, some are broken."""
    root = folder(tmp_path / "odd", "train/cat", "train/dog", count=14)
    folder(root, "val/cat", "val/dog", count=3, suffix=".jpg")
    folder(root, "test/dog", "test/cat", count=2, suffix=".webp")
    rng = np.random.default_rng(0)
    for index in range(6):
        deep = rng.integers(0, 3000, (9, 14 + index), dtype=np.uint16)
        Image.fromarray(deep).save(root / "train" / "cat" / f"deep{index}.png")
        clear = rng.integers(0, 256, (20, 11, 4), dtype=np.uint8)
        Image.fromarray(clear).save(root / "train" / "dog" / f"clear{index}.png")
    turned = picture(77)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(root / "train" / "dog" / "turned.jpg", exif=exif)
    shutil.copy(root / "train" / "cat" / "0.png", root / "val" / "cat" / "copy.png")
    (root / "train" / "cat" / "late.png").write_bytes(_broken_inside())
    (root / "train" / "dog" / "early.png").write_bytes(b"")
    (root / "train" / "dog" / os.fsdecode(b"n\xe4me.png")).write_bytes(encoded("PNG", 5000))
    return root


def _broken_inside() -> bytes:
    """Return a PNG whose beginning and end are sound."""
    data = bytearray(encoded("PNG", 4000))
    middle = data.index(b"IDAT") + 60
    data[middle : middle + 20] = bytes(20)
    return bytes(data)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channels": 1, "fit": "pad", "background": "#102030", "train_fraction": 0.4},
        {"depth": 13, "fit": "squash", "split_seed": 3, "memory_mib": 0},
    ],
)
@pytest.mark.usefixtures("processes")
def test_the_data_are_the_same(
    odd: Path, tmp_path: Path, changes: dict[str, Any], decodes_nothing: Callable[[], None]
) -> None:
    cache = tmp_path / "cache"
    own: dict[str, Any] = {"resolution": 8, "bad": "skip", **changes}
    without = _load(_config(odd, **own))
    assert any("cannot be decoded" in note for note in without.data.notes)
    _assert_same(_load(_config(odd, cache, **own)), without)
    decodes_nothing()
    again = _load(_config(odd, cache, **own))
    _assert_same(again, without)
    entry = cached(_config(odd, cache, **own))
    assert entry is not None
    assert entry.division.fingerprint(1, entry.reading.shape) == entry.fingerprint
    # Any images of a split, in any order, also none and one twice.
    for indices in (torch.tensor([2, 0, 2]), torch.tensor([], dtype=torch.int64)):
        assert torch.equal(again.data.train.read(indices), without.data.train.read(indices))


def test_pixels_are_no_private_memory_and_outlive_their_file(photos: Path, tmp_path: Path) -> None:
    train = _load(_config(photos, tmp_path / "cache")).data.train
    before = _all(train)
    (file,) = (tmp_path / "cache").rglob(SEARCHED_FILE)
    assert not [line for line in Path("/proc/self/maps").read_text().splitlines() if str(file) in line]
    assert _all(pickle.loads(pickle.dumps(train))) == before
    assert remove_entries(tmp_path / "cache") > 0
    assert _all(train) == before


def test_folders_that_are_no_entries_stay(photos: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    _load(_config(photos, cache))
    (entry,) = entries_in(cache)
    for name in ("images-2020-07", "images-a-b", ".making-of-x", f"{entry.name}-old"):
        (cache / name).mkdir()
        (cache / name / "holiday.jpg").write_bytes(b"mine")
    (cache / f"images-{'0' * 16}-{'0' * 16}").symlink_to(cache / "images-2020-07")
    assert [*entries_in(cache)] == [entry]
    remove_entries(cache)
    assert not entry.exists()
    assert len([*cache.glob("*/holiday.jpg")]) == 5


def test_a_file_that_is_cut_short_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "pixels"
    file.write_bytes(bytes(range(24)))
    pixels = PixelFile(file, (1, 2, 3), 4)
    assert pixels.read(np.array([3, 1])).tolist() == [[[[18, 19, 20], [21, 22, 23]]], [[[6, 7, 8], [9, 10, 11]]]]
    os.truncate(file, 10)
    with pytest.raises(DataError, match="has 10 bytes in place of 24"):
        pixels.read(np.array([0]))


def _rewrite(photos: Path) -> None:
    save(photos / "cat" / "0.png", 999)


def _touch(photos: Path) -> None:
    """The same size, and another picture."""
    path = photos / "cat" / "0.bmp"
    changed = path.stat().st_mtime_ns
    path.write_bytes(encoded("BMP", 999))
    os.utime(path, ns=(changed, changed + 1))


CHANGES: dict[str, Callable[[Path], object]] = {
    "another picture": _rewrite,
    "another picture of the same size": _touch,
    "one more": lambda photos: save(photos / "dog" / "more.png", 998),
    "one less": lambda photos: (photos / "dog" / "3.png").unlink(),
    "another name": lambda photos: (photos / "dog" / "3.png").rename(photos / "dog" / "33.png"),
    "another class": lambda photos: (photos / "dog" / "3.png").rename(photos / "cat" / "33.png"),
    "one more class": lambda photos: folder(photos, "emu"),
    "a class by another name": lambda photos: (photos / "dog").rename(photos / "wolf"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_folder_makes_it_anew(photos: Path, tmp_path: Path, change: Callable[[Path], object]) -> None:
    (photos / "cat" / "0.bmp").write_bytes(encoded("BMP", 4))
    cache = tmp_path / "cache"
    _load(_config(photos, cache))
    before = [*entries_in(cache)]
    change(photos)
    _assert_same(_load(_config(photos, cache)), _load(_config(photos)))
    # What was made before is of no use any more.
    after = [*entries_in(cache)]
    assert (len(before), len(after)) == (1, 1)
    assert before != after


def test_a_link_to_itself_beside_the_classes_is_no_hindrance(photos: Path, tmp_path: Path) -> None:
    (photos / "loop").symlink_to("loop")
    assert cached(_config(photos, tmp_path / "cache")) is not None


def test_what_is_hidden_is_no_change(photos: Path, tmp_path: Path, decodes_nothing: Callable[[], None]) -> None:
    _load(_config(photos, tmp_path / "cache"))
    (photos / "cat" / ".DS_Store").write_bytes(b"seen")
    decodes_nothing()
    _load(_config(photos, tmp_path / "cache"))


def test_a_table_of_classes_is_part_of_the_key(photos: Path, tmp_path: Path) -> None:
    table, cache = tmp_path / "classes.csv", tmp_path / "cache"
    for name in ("cat", "dog"):
        rows = [f"{own}/{index}.png,{own if index else name}" for own in ("cat", "dog") for index in range(18)]
        table.write_text("\n".join(["file,label", *rows]))
        os.utime(table, (0, 0))
        _assert_same(_load(_config(photos, cache, labels=str(table))), _load(_config(photos, labels=str(table))))


def test_other_settings_have_entries_of_their_own(
    photos: Path, tmp_path: Path, decodes_nothing: Callable[[], None]
) -> None:
    cache = tmp_path / "cache"
    ways: list[dict[str, Any]] = [{}, {"resolution": 8}, {"split_seed": 1}]
    for changes in ways:
        _load(_config(photos, cache, **changes))
    assert len(entries_in(cache)) == 3
    decodes_nothing()
    # What models say of how their pictures were read is the same in other words.
    ways.append({"depth": 16, "background": "#FFFFFF"})
    for changes in (*ways, {"train_fraction": 0.5}, {"augment": "shift"}, {"memory_mib": 1}):
        _load(_config(photos, cache, **changes))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "pixels are cut short": lambda entry: _cut(entry / SEARCHED_FILE),
    "pixels of the test are cut short": lambda entry: _cut(entry / TEST_FILE),
    "a pixel is changed": lambda entry: _flip(entry / SEARCHED_FILE),
    "no pixels": lambda entry: (entry / SEARCHED_FILE).unlink(),
    "the index is cut short": lambda entry: _cut(entry / INDEX),
    "a bit of the index is changed": lambda entry: _flip(entry / INDEX),
    "the index is empty": lambda entry: (entry / INDEX).write_bytes(b""),
    "the index is a pickle": lambda entry: (entry / INDEX).write_bytes(pickle.dumps({})),
    "no index": lambda entry: (entry / INDEX).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_made_anew(photos: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    cache = tmp_path / "cache"
    _load(_config(photos, cache))
    (entry,) = entries_in(cache)
    damage(entry)
    _assert_same(_load(_config(photos, cache)), _load(_config(photos)))
    assert [*entries_in(cache)] == [entry]


def test_damaged_statistics_are_counted_again(photos: Path, tmp_path: Path) -> None:
    first = _load(_config(photos, tmp_path / "cache"))
    (file,) = (tmp_path / "cache").rglob("statistics-*.json")
    for text in ("", "{}", '{"mean": [0.1], "std": [0.2, 0.2, 0.2]}', '{"mean": 1, "std": "x"}'):
        file.write_text(text)
        assert _load(_config(photos, tmp_path / "cache")).data.record() == first.data.record()


@pytest.mark.parametrize("when", ["before the index", "before the name"])
@pytest.mark.slow
def test_what_a_killed_process_leaves_is_taken_for_nothing(photos: Path, tmp_path: Path, when: str) -> None:
    """A child ends itself outright, as by SIGKILL, in the middle of the work."""
    cache = tmp_path / "cache"
    instead = "make.write_index" if when == "before the index" else "cached._publish"
    code = (
        "import os\n"
        "from nas.training.data.cache import cached, decoders, make\n"
        "from nas.training.data.config import DataConfig\n"
        f"{instead} = lambda *_: os.kill(os.getpid(), 9)\n"
        f"cached.cached(DataConfig(name='image_folder', root={str(photos)!r}, cache={str(cache)!r}))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == -9
    (left,) = entries_in(cache)
    assert left.name.startswith(".making-")
    assert (left / INDEX).exists() == (when == "before the name")
    _assert_same(_load(_config(photos, cache)), _load(_config(photos)))
    assert left not in entries_in(cache)


def test_of_several_at_once_one_makes_it(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = list[Path]()

    def make_entry(config: DataConfig, pictures: object, folder: Path) -> None:
        made.append(folder)
        make_module.make_entry(config, pictures, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(cached_module, "make_entry", make_entry)
    config = _config(photos, tmp_path / "cache")
    with ThreadPoolExecutor(4) as threads:
        entries = [*threads.map(lambda _: cached(config), range(4))]
    assert len(made) == 1
    assert {entry.folder if entry else None for entry in entries} == {*entries_in(tmp_path / "cache")}


@pytest.mark.slow
def test_two_processes_at_once_have_the_same(photos: Path, tmp_path: Path) -> None:
    code = (
        "from nas.training.data.cache.cached import cached\n"
        "from nas.training.data.config import DataConfig\n"
        f"entry = cached(DataConfig(name='image_folder', root={str(photos)!r}, cache={str(tmp_path / 'cache')!r}))\n"
        "print(entry.fingerprint)\n"
        "import sys\n"
        "assert 'torch' not in sys.modules\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    expected = _load(_config(photos)).data.fingerprint
    assert [one.communicate()[0].strip() for one in both] == [expected] * 2


def _no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "cache"


def _read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def mkdir(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cached_module, "_locked", mkdir)
    return tmp_path / "cache"


def _no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30 + 10_000))
    return tmp_path / "cache"


def _space_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def full(files: Sequence[tuple[int, Path]], pixels: Path, reading: Reading, *, settled: bool) -> list[Seen | str]:
        return decoded(files, Path("/dev/full"), reading, settled=settled)

    monkeypatch.setattr(make_module, "decoded", full)
    return tmp_path / "cache"


def _processes_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(decoders_module, "_MODULE", "nas.errors")  # which does nothing
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (_no_folder, "Not a directory"),
        (_read_only, "Permission denied"),
        (_no_space, "but the disk has 1,024 MiB left"),
        (_space_ends, "No space left on device"),
        (_processes_end, "a process that reads images has ended"),
    ],
)
@pytest.mark.usefixtures("processes")
def test_where_there_can_be_none_data_are_read_without(
    photos: Path,
    trouble: Callable[[Path, pytest.MonkeyPatch], Path],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = trouble(photos.parent, monkeypatch)
    with caplog.at_level(logging.WARNING):
        found = _load(_config(photos, cache))
    _assert_same(found, _load(_config(photos)))
    assert said in caplog.messages[-1]
    assert not cache.is_dir() or not entries_in(cache)


@pytest.mark.parametrize("trouble", [_no_space, _space_ends])
@pytest.mark.usefixtures("processes")
def test_what_the_disk_has_no_room_for_is_decoded_while_it_is_used(
    odd: Path,
    trouble: Callable[[Path, pytest.MonkeyPatch], Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The batches of three walks are those of the cache, to the last bit."""
    settings: dict[str, Any] = {"resolution": 9, "bad": "skip", "memory_mib": 0}
    with_cache = _load(_config(odd, odd.parent / "roomy", **settings), test=False).data
    assert isinstance(with_cache.train, CachedImages)
    cache = trouble(odd.parent, monkeypatch)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        streamed = _load(_config(odd, cache, **settings), test=False).data
    assert isinstance(streamed.train, FileImages)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    walks = [
        [batch for _ in range(3) for batch in walk]
        for data in (with_cache, streamed)
        for walk in [Batches(data.train, data, 5, data.input_shape, shuffle=True, augment="shift_flip", seed=7)]
    ]
    assert len(walks[0]) == len(walks[1]) > 12
    for (inputs, labels), (other, other_labels) in zip(*walks, strict=True):
        assert torch.equal(inputs, other)
        assert torch.equal(labels, other_labels)
    said = [message for message in caplog.messages if "not cached" in message]
    assert len(said) == 1
    assert "data.cache=FOLDER on a larger disk, or data.resolution smaller than 9, would save that" in said[0]
    begun = any("decoding" in message and "once" in message for message in caplog.messages)
    assert begun == (trouble is _space_ends), "what has no room is not begun"
    assert not entries_in(cache)


@pytest.mark.usefixtures("processes")
def test_a_disk_that_was_full_is_not_filled_again_by_each_process(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        config = _config(photos, _space_ends(tmp_path, patched))
        assert cached(config) is None
    assert cached(config) is None
    begun = ["decoding 36 pictures once" in message for message in caplog.messages]
    assert begun == [True, False, False]
    assert "the disk was full in the middle just now" in caplog.messages[-1]
    (left,) = (tmp_path / "cache").glob("*.full")
    assert f"remove {left} to try it again" in caplog.messages[-1]
    os.utime(left, (0, 0))  # long ago
    assert cached(config) is not None


def test_a_disk_without_room_is_tried_again(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That costs nothing."""
    with monkeypatch.context() as patched:
        config = _config(photos, _no_space(tmp_path, patched))
        assert cached(config) is None
    assert cached(config) is not None


@pytest.fixture
def broken(photos: Path) -> Path:
    """Three pictures more, which only decoding shows to be broken."""
    for place in ("cat/x.png", "cat/y.png", "dog/z.png"):
        (photos / place).write_bytes(_broken_inside())
    return photos


def test_what_only_decoding_shows_is_refused_together(broken: Path, tmp_path: Path) -> None:
    config = _config(broken, tmp_path / "cache")
    for _ in range(2):  # nothing was kept that would be taken for whole
        with pytest.raises(DataError) as raised:
            check_files(config)
        text = str(raised.value)
        assert text.startswith(
            f"data image_folder: 3 of 39 files under {broken} cannot be used:\n  3 cannot be decoded ("
        )
        assert "cat/x.png, cat/y.png, dog/z.png" in text
    assert not entries_in(tmp_path / "cache")
    with pytest.raises(DataError) as without:
        _load(_config(broken))
    assert str(without.value) == text


def test_or_left_out(broken: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = _load(_config(broken, cache, bad="skip"))
    _assert_same(found, _load(_config(broken, bad="skip")))
    assert sum(map(sum, found.data.images_by_class.values())) == 36
    assert "3 of 39 files are left out, since they cannot be used: 3 cannot be decoded" in found.data.notes[0]
    # Whoever refuses them does so in spite of the cache.
    with pytest.raises(DataError, match="3 of 39 files"):
        _load(_config(broken, cache))


def test_nothing_of_the_test_split_is_in_reach_of_a_search(photos: Path, tmp_path: Path) -> None:
    config = _config(photos, tmp_path / "cache")
    with without_test_split():  # made in a search, as by one of its workers
        entry = cached(config)
        assert entry is not None
        assert _load(config, test=False).test is None
        with pytest.raises(HeldOutError):
            entry.pixels(TEST)
        with pytest.raises(HeldOutError):
            read_test_split(config, Ledger(tmp_path), arch_id="a", seed=0, purpose="none")
        searched = (entry.folder / SEARCHED_FILE).read_bytes()
    test = read_test_split(config, Ledger(tmp_path), arch_id="a", seed=0, purpose="the final score")
    size = 3 * 10 * 12
    tested, _, names = _all(test)
    pictures = {tested[start : start + size] for start in range(0, len(tested), size)}
    assert len(pictures) == len(names) == len(test.labels) > 2
    assert not pictures & {searched[start : start + size] for start in range(0, len(searched), size)}
    assert len(searched) == size * (36 - len(pictures))
    # The cache has them where they belong.
    assert (entry.folder / TEST_FILE).read_bytes() == tested
    assert type(test) is type(_load(config).data.train)


def test_what_is_quick_to_read_is_not_cached_by_itself(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cached(_config(photos, "auto")) is None
    assert not (tmp_path / "xdg").exists()
    size = sum(path.stat().st_size for path in photos.rglob("*.png"))
    for name, most in (("_MANY", 36), ("_MUCH", size)):
        with monkeypatch.context() as patch:
            patch.setattr(cached_module, name, most + 1)
            assert cached(_config(photos, "auto")) is None
            patch.setattr(cached_module, name, most)
            assert cached(_config(photos, "auto")) is not None
        remove_entries(tmp_path / "xdg" / "nas")
    assert cached(_config(photos, "none")) is None
    assert cached(_config(photos, tmp_path / "cache", split_scheme=2)) is None


def test_the_folder_is_that_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder("auto") == tmp_path / ".cache" / "nas"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, as its specification says
    assert cache_folder("auto") == tmp_path / ".cache" / "nas"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert cache_folder("auto") == tmp_path / "own" / "nas"
    assert cache_folder("~/there") == tmp_path / "there"
    assert cache_folder("none") is None


def test_clean_says_what_it_takes_and_removes_it(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    assert cached(_config(photos, cache)) is not None
    (cache / "other").mkdir()
    assert clean(["--cache", str(cache)]) == 0
    assert "Nothing was removed" in capsys.readouterr().out
    (entry,) = entries_in(cache)
    size = sum(path.stat().st_size for path in entry.iterdir())
    assert size > 36 * 3 * 10 * 12  # the pixels
    assert clean(["--cache", str(cache), "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed_bytes"] == size
    assert not entries_in(cache)
    assert (cache / "other").is_dir()
    assert clean(["--cache", "none"]) != 0


def test_images_know_their_files(photos: Path, tmp_path: Path) -> None:
    train = _load(_config(photos, tmp_path / "cache")).data.train
    for index, path in enumerate(train.files):  # type: ignore[attr-defined]
        shown = np.asarray(Image.open(path)).transpose(2, 0, 1)
        assert np.array_equal(train.read(torch.tensor([index]))[0].numpy(), shown)
        assert path.parent.name == ("cat", "dog")[train.labels[index]]
    entry = cached(_config(photos, tmp_path / "cache"))
    assert entry is not None
    assert len(entry.places[TRAIN]) == index + 1
