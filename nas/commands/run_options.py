"""What the commands on runs as files take: a parser for each, apart for the reason in `nas.commands.options`."""

from __future__ import annotations

import argparse

from nas import console


def clean_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas clean`."""
    parser = console.parser(
        "nas clean",
        "Say what run folders take of the disk, and which files nothing needs any more: weights of a search but for "
        "the best, of a finish but for the first seed of each network, and states of trainings that have ended. With "
        "--yes these are removed. Records, reports, models and what runs are left alone. --cache is about the cache of "
        "images instead (data.cache), which is made again when it is needed.",
        _CLEAN_EXAMPLES,
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run folders (all in the folder of --records)")
    parser.add_argument("--records", default="runs", metavar="DIR", help="the folder of the runs (runs)")
    parser.add_argument(
        "--keep", type=_count, default=1, metavar="N", help="networks of a search whose weights stay, the best (1)"
    )
    parser.add_argument(
        "--states", action="store_true", help="also states of trainings that were cut off: they would begin anew"
    )
    parser.add_argument(
        "--cache", nargs="?", const="auto", metavar="DIR", help="the cache of images, not the runs (DIR: as data.cache)"
    )
    parser.add_argument("--yes", action="store_true", help="remove; without it nothing is removed")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more, but got {text!r:.40}")
    return int(text)


_CLEAN_EXAMPLES = """\
  nas clean                          what the runs in runs/ take, and what could go
  nas clean runs/NAME --yes          remove that; the best network keeps its weights
  nas clean --keep 3 --states --yes  of all runs, but for the three best; what was cut off begins anew
  nas clean --cache --yes            remove the pixels of folders of pictures that are kept for the next start

search.disk_mib limits what a search takes while it runs. MLflow's records stay; mlflow gc removes those of deleted
runs.
"""


def runs_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas runs`."""
    parser = console.parser(
        "nas runs",
        "List the runs in a folder of runs, the one that was written last at the end: running, ended (and why), or cut "
        "off; of a search its trials, the best score and whether it has a finish; and how to go on with it.",
        _RUNS_EXAMPLES,
    )
    parser.add_argument("--records", default="runs", metavar="DIR", help="the folder of the runs (runs)")
    return parser


_RUNS_EXAMPLES = """\
  nas runs                           the runs in runs/
  nas runs --records results --json  those in another folder, for a program
"""


def steer_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas steer`."""
    parser = console.parser(
        "nas steer",
        "Change a search that runs: when it ends (trials, minutes, patience or max_rejections, as in `nas search`), "
        "its workers, and which failed trials it runs again. It takes that within seconds, and so does one that is "
        "gone on with later. What runs already is not changed: workers that are too many end after their trial.",
        _STEER_EXAMPLES,
    )
    parser.add_argument("run", metavar="RUN", help="the run folder of the search")
    parser.add_argument(
        "changes",
        nargs="+",
        metavar="NAME=VALUE",
        help="with a sign what is added: trials=+50; null: no such limit; rerun=failed, or numbers of failed trials",
    )
    return parser


_STEER_EXAMPLES = """\
  nas steer runs/a trials=+50        50 more trials than it was told
  nas steer runs/a minutes=90        ends 90 minutes after its start, sessions before included
  nas steer runs/a patience=20       ends after 20 proposals in a row that promise next to no gain
  nas steer runs/a workers=4         two more than its two: they start now
  nas steer runs/a rerun=failed      runs all trials again that have failed, each once; also where the search has ended
  nas steer runs/a rerun=12,15       runs these again
"""
