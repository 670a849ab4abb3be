"""A folder of pictures as people have them: which odd files a start names, in what time, and which it reads right.

python -m benchmarks.odd_folder --folder FOLDER    # 2,000 pictures in 20 classes, 60 bad files of 20 kinds, and others

It makes the folder, looks at the beginnings and ends of its files, runs `nas data` once, and compares what odd pictures
hold with their pixels as they were made, or as pillow alone decodes them. Then it prints the command of a search.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.odd_files import BAD, COPIES, LEFT_OUT, READ, Expected, write_bad
from nas.exporting.reading import Reading, colours, held
from nas.training.data.config import DataConfig
from nas.training.data.folders.usable import usable_pictures

_SIDES = (1152, 896)
"""Width and height of a picture: 1.03 megapixels."""


def main() -> None:
    """Make the folder, look at it, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="how many pictures (2,000)")
    parser.add_argument("--classes", type=int, default=20, help="of how many classes (20)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--resolution", type=int, default=32, help="that they are brought to (32)")
    parser.add_argument("--folder", type=Path, help="to put it in, which is kept (a temporary one)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (given.folder or Path(temporary)) / "photos"
        bad, read = make(root, given.images, given.classes, given.seed)
        size = f"data.resolution={given.resolution}"
        print(f"{sum(map(len, bad.values()))} bad files of {len(bad)} kinds, {len(read)} odd pictures, in {root}\n")
        _look_at_headers(root, given.resolution)
        said = _run_data([str(root), size], Path(temporary))
        _print_named(said, bad)
        _print_read(read)
    print(
        f"\npython -m nas.search +space=small_images data=image_folder data.root={root} {size} data.bad=skip "
        "constraints.macs=5e6 search.trials=3 train.epochs=2"
    )


def make(
    root: Path, images: int, classes: int, seed: int, sides: tuple[int, int] = _SIDES
) -> tuple[Mapping[str, Sequence[Path]], Sequence[tuple[str, Expected]]]:
    """Make the folder, or find it.

    Args:
        root: of the folder.
        images: pictures that are as others.
        classes: that they are of.
        seed: of all that is drawn.
        sides: width and height of a picture.

    Returns:
        Its bad files by kind, and its odd pictures, with their kinds.
    """
    names = [f"class {number:02}" for number in range(classes)]
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
    rows = [(root / names[place % classes] / f"img_{place:05}.jpg", place % classes, place) for place in range(images)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(_write_picture, seed=seed, classes=classes, sides=sides), *zip(*rows, strict=True)))
    rng = np.random.default_rng(seed)

    def somewhere() -> Path:
        return root / names[int(rng.integers(classes))]

    bad = {kind: [write_bad(kind, somewhere(), copy) for copy in range(COPIES)] for kind in BAD}
    read = [
        (kind, write(somewhere() / f"{kind.replace(' ', '_')}_{copy}", np.random.default_rng((seed, place, copy))))
        for place, (kind, write) in enumerate(READ.items())
        for copy in range(COPIES)
    ]
    for write_left_out, _ in LEFT_OUT.values():
        write_left_out(root / names[0])
    return bad, read


def _write_picture(path: Path, label: int, number: int, *, seed: int, classes: int, sides: tuple[int, int]) -> None:
    """Write a photograph of a kind: stripes whose direction and colour are those of the class, with noise."""
    if path.exists():
        return
    rng = np.random.default_rng((seed, number))
    width, height = sides
    angle = np.pi * label / classes
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    wave = np.sin((across * np.cos(angle) + down * np.sin(angle)) / rng.uniform(30, 50) + rng.uniform(0, 6))
    colour = 128 + 90 * np.cos(2 * np.pi * (label / classes + np.array([0, 1 / 3, 2 / 3])))
    levels = colour * (0.75 + 0.25 * wave[:, :, None]) + rng.normal(0, 12, (height, width, 1))
    Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(path, quality=85)


def _look_at_headers(root: Path, resolution: int) -> None:
    start, before = time.perf_counter(), _processors(resource.RUSAGE_SELF)
    usable_pictures(DataConfig(name="image_folder", root=str(root), resolution=resolution, bad="skip"))
    print(
        f"beginnings and ends of all files: {time.perf_counter() - start:.2f} s, "
        f"{_processors(resource.RUSAGE_SELF) - before:.2f} s of processors"
    )


def _run_data(settings: Sequence[str], cache: Path) -> str:
    """Run `nas data` once, without a cache from before; return what it says."""
    command = [sys.executable, "-m", "nas", "data", *settings, f"data.cache={cache / 'cache'}"]
    start, before = time.perf_counter(), _processors(resource.RUSAGE_CHILDREN)
    first = None
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="surrogateescape"
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if first is None and "cannot be used" in line:
                first = time.perf_counter() - start
    print(
        f"nas data, which decodes all of them: exit code {process.returncode}, {time.perf_counter() - start:.1f} s, "
        f"{_processors(resource.RUSAGE_CHILDREN) - before:.1f} s of processors; it names files after "
        f"{math.nan if first is None else first:.1f} s\n"
    )
    said = "".join(lines)
    print(said)
    return said


def _processors(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _print_named(said: str, bad: Mapping[str, Sequence[Path]]) -> None:
    print(f"{'bad file':38} named")
    for kind, paths in bad.items():
        print(f"{kind:38} {sum(path.name in said for path in paths)} of {len(paths)}")
    everything = [path for paths in bad.values() for path in paths]
    print(f"{'all':38} {sum(path.name in said for path in everything)} of {len(everything)}")
    for what, (_, names) in LEFT_OUT.items():
        for name in names:
            if name in said:
                print(f"{what:38} {name} is named, and should not be")


def _print_read(read: Sequence[tuple[str, Expected]]) -> None:
    wrong = [f"{kind}: {expected.path.name!r}" for kind, expected in read if not read_right(expected)]
    print(f"\n{len(read) - len(wrong)} of {len(read)} odd pictures are read right", *wrong, sep="\n  ")


def read_right(expected: Expected) -> bool:
    """Whether a file is read as it must be, at its full size and on white."""
    height, width = expected.pixels.shape[:2]
    reading = Reading((3, height, width), background="#ffffff")
    found: NDArray[np.uint8] = np.asarray(colours(held(expected.path), reading))
    if found.shape != expected.pixels.shape:
        return False
    return bool(np.abs(found.astype(int) - expected.pixels).max() <= expected.tolerance)


if __name__ == "__main__":
    main()
