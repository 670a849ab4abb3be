"""The cache of a folder of pictures: how fast it is made, how soon the next start has a batch, and in how much memory.

python -m benchmarks.image_cache

Pictures are made once, in a folder that is kept for the next run where --folder names it. What pillow alone decodes is
measured before and after each making, in as many processes; figures of processors are of all processes together.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import PIL
from PIL import Image

from nas.machine import cores
from nas.training.data.cache import cached as cached_module
from nas.training.data.cache.clearing import entries_in
from nas.training.data.cache.make import make_entry
from nas.training.data.config import DataConfig
from nas.training.data.folders.usable import Pictures, usable_pictures

MIB = 2**20
_CLASSES = 10
_AT_A_TIME = 256


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000, help="how many (100,000)")
    parser.add_argument("--size", type=int, default=64, help="of their files, in pixels a side (64)")
    parser.add_argument("--resolution", type=int, default=64, help="that they are brought to (64)")
    parser.add_argument("--kind", choices=("jpg", "png"), default="jpg", help="of their files (jpg)")
    parser.add_argument("--rounds", type=int, default=2, help="how often the cache is made (2)")
    parser.add_argument("--folder", help="for pictures and cache (a temporary one)")
    parser.add_argument("--second", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.second:
        print(json.dumps(second_start(DataConfig(**json.loads(given.second)))))
        return
    with _folder(given.folder) as folder:
        root = folder / f"{given.images}-{given.size}-{given.kind}"
        make_pictures(root, given.images, given.size, given.kind)
        settings = {
            "name": "image_folder",
            "root": str(root),
            "resolution": given.resolution,
            "cache": str(folder / "cache"),
        }
        files = sorted(str(path) for path in root.rglob(f"*.{given.kind}"))
        measure(settings, files, given.rounds)


@contextmanager
def _folder(given: str | None) -> Iterator[Path]:
    if given:
        yield Path(given).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="nas-image-cache-") as folder:
        yield Path(folder)


def make_pictures(root: Path, count: int, size: int, kind: str) -> None:
    """Write pictures that all differ, smooth as photographs are, where they are not there yet."""
    if root.is_dir():
        return
    partial = root.with_name(f"{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    rng = np.random.default_rng(0)
    for label in range(_CLASSES):
        (partial / f"class{label}").mkdir(parents=True)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        picture = coarse.resize((size, size), Image.Resampling.BICUBIC)
        picture.save(partial / f"class{index % _CLASSES}" / f"{index:07d}.{kind}", quality=90)
    partial.rename(root)


def measure(settings: dict[str, Any], files: Sequence[str], rounds: int) -> None:
    """Print tables of the making and of the next start."""
    config = DataConfig(**settings)
    print(f"{len(files):,} pictures, {cores()} processes; pillow {PIL.__version__}\n")
    print("| what | seconds | images a second | of pillow alone | seconds of processors | of pillow alone |")
    print("| --- | --: | --: | --: | --: | --: |", flush=True)
    parts = [files[start : start + _AT_A_TIME] for start in range(0, len(files), _AT_A_TIME)]
    with ProcessPoolExecutor(cores(), mp_context=mp.get_context("spawn")) as pool:
        list(pool.map(_decode_alone, [files[:_AT_A_TIME]] * 2 * cores()))  # so that they have started
        before = _alone(pool, parts)
        for _ in range(rounds):
            shutil.rmtree(settings["cache"], ignore_errors=True)
            looked = _timed(lambda: usable_pictures(config))
            made = _made(config)
            after = _alone(pool, parts)
            alone = ((before[0] + after[0]) / 2, (before[1] + after[1]) / 2)
            for what, (wall, cpu) in {
                "pillow alone (before and after)": alone,
                "beginnings and ends looked at": looked,
                "cache made": made,
            }.items():
                shares = f"{alone[0] / wall:.2f} | {cpu:.1f} | {alone[1] / cpu:.2f}"
                print(f"| {what} | {wall:.1f} | {len(files) / wall:,.0f} | {shares} |", flush=True)
            before = after
    size = sum(entries_in(Path(settings["cache"])).values())
    print(f"\nThe cache takes {size / MIB:,.0f} MiB. A new process, without what it takes to load torch:\n")
    print("| start | data, s | first batch, s | of processors, s | private, MiB | after a walk, MiB | Pss then, MiB |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for start in ("first, which counts mean and deviation", "second"):
        command = [sys.executable, "-m", "benchmarks.image_cache", "--second", json.dumps(settings)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        cells = [f"{found[name]:.2f}" for name in ("data", "first_batch", "cpu")]
        cells += [f"{found[name]:,.0f}" for name in ("private", "walked_private", "walked_pss")]
        print(f"| {start} | {' | '.join(cells)} |", flush=True)


def _decode_alone(files: Sequence[str]) -> float:
    """Decode files with pillow; returns the seconds of the processor."""
    began = time.process_time()
    for file in files:
        with Image.open(file) as image:
            np.asarray(image.convert("RGB"))
    return time.process_time() - began


def _alone(pool: ProcessPoolExecutor, parts: Sequence[Sequence[str]]) -> tuple[float, float]:
    began = time.perf_counter()
    cpu = sum(pool.map(_decode_alone, parts))
    return time.perf_counter() - began, cpu


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of some work, and those of the processors, with processes that have ended by then."""
    began, spent = time.perf_counter(), _spent()
    work()
    return time.perf_counter() - began, _spent() - spent


def _spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _made(config: DataConfig) -> tuple[float, float]:
    """Make the cache; returns what that takes without the look at beginnings and ends before it."""
    found = list[tuple[float, float]]()

    def timed(config: DataConfig, pictures: Pictures, folder: Path) -> None:
        found.append(_timed(lambda: make_entry(config, pictures, folder)))

    with patch.object(cached_module, "make_entry", timed):
        assert cached_module.cached(config) is not None
    return found[0]


def second_start(config: DataConfig) -> dict[str, float]:
    """Return seconds until there are data and a batch, and the memory that they take, in this process."""
    from nas.training.data.batches import Batches
    from nas.training.data.load import load_data

    before, began, spent = _memory(), time.perf_counter(), time.process_time()
    data = load_data(config)
    loaded = time.perf_counter()
    batches = Batches(data.train, data, 128, data.input_shape, shuffle=True, augment="shift_flip")
    next(iter(batches))
    first, cpu = time.perf_counter(), time.process_time()
    private = _memory()
    for _ in batches:
        pass
    walked = _memory()
    return {
        "data": loaded - began,
        "first_batch": first - began,
        "cpu": cpu - spent,
        "private": (private["Private"] - before["Private"]) / MIB,
        "walked_private": (walked["Private"] - before["Private"]) / MIB,
        "walked_pss": (walked["Pss"] - before["Pss"]) / MIB,
    }


def _memory() -> dict[str, int]:
    """Return the bytes that this process has for itself, and its share of all that it has."""
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    sizes = {name.rstrip(":"): 1024 * int(size) for name, size, *_ in lines}
    return {"Private": sizes["Private_Clean"] + sizes["Private_Dirty"], "Pss": sizes["Pss"]}


if __name__ == "__main__":
    main()
