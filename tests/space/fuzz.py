# ruff: noqa: E501  (lists of words)
"""A mutation fuzzer over space files: whatever a file holds, it is read or refused with one clear error, quickly.

    python -m tests.space.fuzz --minutes 10 --seed 0

Takes the spaces that come with nas apart and puts them together wrongly: lines dropped, swapped, doubled, numbers and
words replaced by others and by hostile ones. What can be read is also sampled, decoded and counted.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import FrameType

import nas
from nas.errors import NasError
from nas.network.registry import block_kind, block_names
from nas.resources import resource_dir
from nas.space.fit import widened

SECONDS = 4
"""Of this process, which others do not slow down: no file may take longer to be read and tried. (The hostile ones with
aliases take 1.6 on a 2-core virtual machine.)"""

HOSTILE = [
    "-1", "0", "1e308", ".nan", ".inf", "null", "true", "~", "1" + "0" * 40, "[]", "{}", "[[]]", "''", "!!python/object:os.system x",
    "&a [*a]", "*nowhere", "{choose: []}", "{choose: [1, 1]}", "{range: [1, 1000000]}", "{range: [0, 4], step: 3}", "{range: [1, 64], factor: 2}",
    "{choose: [3, 5], per: block}", "= width", "= 2 * width", "= 1 / 0", "= round_to(width, 0)", "= 'a' * 99", "= x if y else z", "= __import__('os')",
    "= (" * 40, "{if: = True, then: 3, else: 5}", "{include: mbconv.yaml}", "{include: /etc/passwd}", "{<<: 3}", "? a", "\t", "- - -", "512", "1000000",
]  # fmt: skip
WORDS = [
    "block", "blocks", "depth", "stride", "out_channels", "kernel", "choose", "range", "step", "factor", "per", "let", "if", "then", "else",
    "optional", "branches", "count", "each", "edges", "nodes", "body", "limits", "assume", "stem", "head", "stages", "resolution", "include", "with",
    "groups", "dilation", "padding", "norm", "activation", "expand_ratio", "se_ratio", *block_names(),
]  # fmt: skip


_HEAD = "head: {block: classifier}\n"
VAST = "stages:\n  - block: conv\n    depth: 40\n    out_channels: {range: [8, 80], step: 8, per: block}\n" + _HEAD
"""10^40 genotypes."""
REPEATED = "stages:\n  - {block: conv, out_channels: 8, depth: 1000000}\n" + _HEAD
"""A million blocks."""
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in itertools.pairwise("abcdefghijklm")
)
"""Some 10^12 values, written as aliases of aliases."""


def seeds() -> list[str]:
    """Texts to begin with: the spaces that come with nas, and what would fill a memory."""
    root = resource_dir("search_spaces")
    return [path.read_text() for path in sorted(root.rglob("*.yaml"))] + [VAST, REPEATED, BOMB]


_FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.connect",
    "pickle.find_class",
)


def _forbid_execution() -> None:
    """From now on this process cannot start a program, open a connection, or unpickle: whatever tries raises."""

    def hook(event: str, _: tuple[object, ...]) -> None:
        if event in _FORBIDDEN:
            raise PermissionError(f"a space file caused {event}")

    sys.addaudithook(hook)


def mutate(text: str, others: list[str], rng: random.Random) -> str:
    """Change a text in one to eight places, mostly in one."""
    lines = text.splitlines()
    for _ in range(rng.choice([1, 1, 1, 2, 3, 5, 8])):
        i = rng.randrange(len(lines)) if lines else 0
        way = rng.randrange(9)
        if not lines or way == 0:
            lines.insert(i, rng.choice(rng.choice(others).splitlines() or [""]))
        elif way == 1:
            del lines[i]
        elif way == 2:
            j = rng.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
        elif way == 3:
            lines.insert(i, lines[i])
        elif way == 4:
            lines[i] = re.sub(r"-?\d+(\.\d+)?", lambda m: rng.choice(HOSTILE) if rng.random() < 0.5 else m[0], lines[i])
        elif way == 5:
            lines[i] = re.sub(r"[a-z_]\w+", lambda m: rng.choice(WORDS) if rng.random() < 0.4 else m[0], lines[i])
        elif way == 6:
            lines[i] = " " * rng.randint(0, 8) + lines[i].lstrip()
        elif way == 7:
            kind = block_kind(rng.choice(block_names()))
            given = [f"{name}: {rng.choice([*HOSTILE, '3', '8', '1'])}" for name in kind.settings if rng.random() < 0.6]
            lines.insert(i, f"  - {{block: {', '.join([kind.name, *given])}}}")
        else:
            at = rng.randrange(len(lines[i]) + 1)
            lines[i] = (
                lines[i][:at]
                + rng.choice(["{", "}", "[", "]", ":", "- ", "&", "*", "#", "\x00", "é", '"'])
                + lines[i][at:]
            )
    return "\n".join(lines) + "\n"


def try_space(path: Path, rng: random.Random) -> str:
    """Read a file and use what was read; returns how it ended. Anything but a `NasError` is a fault and goes on."""
    try:
        space = nas.load_space(path)
    except NasError as error:
        message = str(error)
        assert message
        assert len(message) < 2000, "an error is a message, not a book"
        return "refused"
    ended = "read"
    for _ in range(3):
        try:
            genotype = space.sample(rng)
            arch = space.decode(genotype)
            nas.cost_of(arch)
        except NasError:
            ended = "read, no network"
            continue
        assert nas.Architecture.from_json(arch.to_json()) == arch
    with suppress(NasError):  # groups that no longer divide the channels
        widened(space, rng.choice([0.1, 0.5, 0.595, 1, 3])).sample(rng)
    return ended


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"over {SECONDS} s")


def fuzz(seconds: float, seed: int, keep: Path | None = None) -> Counter[str]:
    """Try mutated files for a while; returns how they ended.

    Raises:
        AssertionError: a file ended in anything but a clear error, took too long, or memory grew; it is kept.
    """
    rng, texts, ended = random.Random(seed), seeds(), Counter[str]()
    grown_texts: list[str] = []
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGVTALRM, _too_long)
    _forbid_execution()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "space.yaml"
        for name in ("mbconv.yaml", "resnet.yaml"):
            (Path(folder) / name).write_text((resource_dir("search_spaces") / name).read_text())
        while time.monotonic() - began < seconds:
            pool = grown_texts if grown_texts and rng.random() < 0.7 else texts
            text = mutate(rng.choice(pool), texts, rng)
            path.write_text(text)
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            try:
                how = try_space(path, rng)
            except BaseException as error:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                if keep is not None:
                    keep.write_text(text)
                raise AssertionError(f"{type(error).__name__}: {str(error)[:300]} from\n{text[:3000]}") from error
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            ended[how] += 1
            # What can still be read leads further than a wreck does.
            if how == "read" and rng.random() < 0.05:
                grown_texts.append(text)
                del grown_texts[:-400]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 1500, f"memory grew by {grown:.0f} MiB"
    ended["MiB grown"] = round(grown)
    return ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz_failure.yaml"), help="file for what failed")
    options = parser.parse_args()
    for how, count in sorted(fuzz(60 * options.minutes, options.seed, options.keep).items()):
        print(f"{how}: {count:,}")


if __name__ == "__main__":
    main()
