"""Learn what networks take on this device, so that a search need not measure each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.commands.options import calibrate_parser
from nas.commands.space import space_from
from nas.console import run
from nas.errors import ConfigError
from nas.json_output import add_facts
from nas.latency.calibrate import calibrate
from nas.latency.deployment import deployment
from nas.latency.device_profile import Accuracy, DeviceProfile, check_writable, profile_path
from nas.space import SearchSpace, load_space

_SPACES = ("mbconv", "mobilenet_v3", "resnet")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = calibrate_parser().parse_args(arguments)
    return run("nas.calibrate", lambda: _work(options), json=options.json)


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
    add_facts(_facts(profile, path))
    for line in _report(profile):
        print(line)
    print(f"\nDevice profile: {path}{replaced}")


def _described(space: SearchSpace) -> str:
    return f"{space.name} ({'x'.join(map(str, space.input_shape))})"


def _facts(profile: DeviceProfile, path: Path) -> dict[str, Any]:
    return {
        "device_profile": path,
        "device": profile.device.to_dict(),
        "deployment": asdict(profile.deployment),
        "spaces": profile.spaces,
        "networks": profile.accuracy.networks,
        "seconds": profile.seconds,
        "quiet": profile.quiet,
        "accuracy": asdict(profile.accuracy),
        "macs_only": asdict(profile.macs_only),
    }


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
