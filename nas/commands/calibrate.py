"""Learn what networks take on this device, so that a search need not measure each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nas.commands.space import space_from
from nas.console import parser, run
from nas.errors import ConfigError
from nas.latency.calibrate import calibrate
from nas.latency.deployment import RUNTIMES, deployment
from nas.latency.device_profile import Accuracy, DeviceProfile, check_writable, profile_path
from nas.space import SearchSpace, load_space

_SPACES = ("mbconv", "mobilenet_v3", "resnet")
_HELP = """\
  python -m nas.calibrate                                        networks of mbconv, mobilenet_v3 and resnet
  python -m nas.calibrate --space my_space.yaml --data 3x64x64   those of your own search: the best predictions for it
  python -m nas.calibrate --runtime torch --threads 2 --batch 8
  python -m nas.search +space=mbconv constraints.latency_ms=1    uses the profile of the same runtime, batch, threads

Leave the machine alone meanwhile: other work makes networks look slow. A profile holds for this hardware and for these
versions of the runtime; a search refuses any other, and measures every candidate instead."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    return run("nas.calibrate", lambda: _work(options))


def _parser() -> argparse.ArgumentParser:
    made = parser(
        "nas.calibrate",
        "Measure random networks on this device and learn to predict the latency of others. Searches with a limit on "
        "latency then measure only what is not surely over it.",
        _HELP,
    )
    made.add_argument("--space", action="append", metavar="NAME", help="a space or .yaml file; may be given repeatedly")
    made.add_argument("--data", metavar="CxHxW", help="shape of an example, as the spaces' own by default")
    made.add_argument("--classes", type=int, help="number of classes")
    made.add_argument("--runtime", default="auto", help=f"auto (the first installed of) {', '.join(RUNTIMES)}")
    made.add_argument("--batch", type=int, default=1, help="examples at a time (1)")
    made.add_argument("--threads", type=int, default=1, help="of the CPU (1)")
    made.add_argument("--minutes", type=float, default=4.75, help="how long it may take (4.75)")
    made.add_argument("--seed", type=int, default=0, help="of the networks drawn (0)")
    made.add_argument("--records", default="runs", metavar="DIR", help="the profile goes to DIR/devices (runs)")
    return made


def _work(options: argparse.Namespace) -> None:
    if not 0.1 <= options.minutes <= 1440:
        raise ConfigError(f"--minutes must be between 0.1 and 1440, but got {options.minutes:g}")
    spaces = [space_from(name, [], options.data, options.classes) for name in options.space or _SPACES]
    for name, space in zip(options.space or _SPACES, spaces, strict=True):
        own = load_space(name).input_shape
        if len(own) != len(space.input_shape):
            raise ConfigError(f"--data {options.data}: {name} takes {'CxHxW' if len(own) == 3 else 'CxL'}")
    where = deployment(options.runtime, options.batch, options.threads)
    path = profile_path(Path(options.records), where)
    check_writable(path)
    print(f"Measuring {where}: {', '.join(map(_described, spaces))}", flush=True)

    def progress(networks: int, share: float) -> None:
        print(f"  {networks:>5} networks, {min(share, 1):.0%} of the time", flush=True)

    profile = calibrate(spaces, where, seconds=60 * options.minutes, seed=options.seed, progress=progress)
    replaced = " (the earlier one is replaced)" if path.exists() else ""
    profile.save(path)
    for line in _report(profile):
        print(line)
    print(f"\nDevice profile: {path}{replaced}")


def _described(space: SearchSpace) -> str:
    return f"{space.name} ({'x'.join(map(str, space.input_shape))})"


def _report(profile: DeviceProfile) -> list[str]:
    minutes, seconds = divmod(round(profile.seconds), 60)
    text = [
        f"\n{profile.device.hardware}, {profile.device.cores} cores, {profile.deployment}",
        f"{profile.accuracy.networks} networks in {minutes}:{seconds:02d}, {profile.quiet:.0%} of them while the "
        "machine was quiet",
        "",
        "Predicted by the other networks         within 5 %  within 10 %  mean error  rank correlation    90 % within",
        _row("device profile", profile.accuracy),
        _row("multiply-adds alone", profile.macs_only),
    ]
    if profile.quiet < 0.9:
        text.append(
            "\nThe machine was busy: predictions are worse than they could be. Calibrate again when it is quiet."
        )
    return text


def _row(name: str, found: Accuracy) -> str:
    return (
        f"  {name:<38}{found.within_5:>10.1%}{found.within_10:>13.1%}{found.mean_error:>12.1%}"
        f"{found.rank_correlation:>18.3f}{found.interval:>20.1%}"
    )
