"""What the commands with options take: a parser for each.

They stand apart from what the commands do, and load next to nothing, so that help and tab completion answer at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nas import console
from nas.resources import space_names

SHELLS = ("bash", "zsh")
"""Shells that complete the words of `nas`."""


def advise_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas.advise`."""
    from nas.advise.rules_of_thumb import DEVICES, PRIORITIES, TASKS

    parser = console.parser("python -m nas.advise", _ADVISE, _ADVISE_EXAMPLES)
    parser.add_argument("--task", default="classification", metavar="TASK", help=f"{', '.join(TASKS)}")
    parser.add_argument("--device", metavar="DEVICE", help=f"where it is to run: {', '.join(DEVICES)}")
    parser.add_argument("--priority", metavar="WORD", help=f"{', '.join(PRIORITIES)} (balanced): accuracy against work")
    for name, what in (
        ("latency-ms", "time for one example that it may take, to be measured on the device"),
        ("size-mib", "stored size in MiB (2^20 bytes) that it may take, fp32"),
        ("params", "parameters that it may have"),
        ("macs", "multiply-adds that it may take for one example"),
    ):
        parser.add_argument(f"--{name}", type=float, metavar="BOUND", help=what)
    parser.add_argument("--images", type=int, metavar="N", help="labelled examples that there are for training")
    parser.add_argument("--data", metavar="CxHxW", help="input; CxL for series; or a data set: digits, mnist1d")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes (1,000; of series 10)")
    parser.add_argument("--pretrained", action="store_true", help="weights trained on other images may be used")
    return parser


_ADVISE = """\
Say which published networks to start from, which spaces to search and which limits to set, each with its reason,
and print the commands for it. Costs are counted; accuracies are published ones, with their source; everything
else is called a rule of thumb. Say what you know: nothing is needed."""
_ADVISE_EXAMPLES = """\
  python -m nas.advise                                                  general purpose
  python -m nas.advise --device mobile --latency-ms 30 --classes 20     real time on a phone
  python -m nas.advise --device gpu --priority quality --images 500000  high accuracy on a server
  python -m nas.advise --device cloud --images 4000 --pretrained        few images: transfer
  python -m nas.advise --size-mib 5                                     strict size
  python -m nas.advise --data fashion_mnist --params 1e5 --macs 4e6     small images; the commands run as they are
  python -m nas.advise --data 3x128x96 --classes 12 --images 30000      your own images
  python -m nas.advise --task series --data 3x512 --classes 6           series
  python -m nas.advise --task segmentation --data 3x512x512 --classes 4
  python -m nas.advise --device edge --size-mib 2 --json                for programs
"""


def browse_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas.browse`."""
    parser = console.parser(
        "nas browse",
        "Start MLflow's server on what is recorded, for this machine alone, and print the page to open: "
        "that of a run, or all experiments. Ctrl-C ends it.",
        _BROWSE_EXAMPLES,
    )
    parser.add_argument("run", nargs="?", help="folder of a search, a finish, a training or a scaling study")
    parser.add_argument("--port", type=int, default=5000, help="of the server (5000)")
    parser.add_argument("--records", default="runs", metavar="DIR", help="without a run: the folder of records (runs)")
    return parser


_BROWSE_EXAMPLES = """\
  nas browse runs/NAME              the trials of a search as a table, best first
  nas browse runs/NAME/finish       what was trained anew
  nas browse                        all experiments of runs/
  nas browse runs/NAME --port 5001
"""


def records_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas.records`."""
    parser = console.parser(
        "nas records",
        "Write to MLflow what it lacks of a search and its finish: after an outage of its server, a database that was "
        "deleted, or a search with records.mlflow=false. What is there is not written twice.",
        _RECORDS_EXAMPLES,
    )
    parser.add_argument("run", help="folder of a search")
    parser.add_argument("--uri", metavar="ADDRESS", help="http://... of an MLflow server (that of the search)")
    return parser


_RECORDS_EXAMPLES = """\
  nas records runs/NAME
  nas records runs/NAME --uri http://tracking.example:5000
"""


def calibrate_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas.calibrate`."""
    from nas.latency.deployment import RUNTIMES

    parser = console.parser(
        "python -m nas.calibrate",
        "Measure random networks on this device and learn to predict the latency of others. Searches with a limit on "
        "latency then measure only what is not surely over it.",
        _CALIBRATE_EXAMPLES,
    )
    parser.add_argument(
        "--space", action="append", metavar="NAME", help="a space or .yaml file; may be given repeatedly"
    )
    parser.add_argument("--data", metavar="CxHxW", help="shape of an example, as the spaces' own by default")
    parser.add_argument("--classes", type=int, help="number of classes")
    parser.add_argument("--runtime", default="auto", help=f"auto (the first installed of) {', '.join(RUNTIMES)}")
    parser.add_argument("--batch", type=int, default=1, help="examples at a time (1)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (1)")
    parser.add_argument("--minutes", type=float, default=4.75, help="how long it may take (4.75)")
    parser.add_argument("--seed", type=int, default=0, help="of the networks drawn (0)")
    parser.add_argument("--records", default="runs", metavar="DIR", help="the profile goes to DIR/devices (runs)")
    return parser


_CALIBRATE_EXAMPLES = """\
  python -m nas.calibrate                                        networks of mbconv, mobilenet_v3 and resnet
  python -m nas.calibrate --space my_space.yaml --data 3x64x64   those of your own search: the best predictions for it
  python -m nas.calibrate --runtime torch --threads 2 --batch 8
  python -m nas.search +space=mbconv constraints.latency_ms=1    uses the profile of the same runtime, batch, threads

Leave the machine alone meanwhile: other work makes networks look slow. A profile holds for this hardware and for these
versions of the runtime; a search refuses any other, and measures every candidate instead."""


def profile_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas.profile`."""
    from nas.latency.deployment import RUNTIMES

    parser = console.parser(
        "python -m nas.profile",
        "Print the cost of a network, block by block and in total, at batch 1.",
        _PROFILE_EXAMPLES,
    )
    parser.add_argument("network", help="a space (name or .yaml), or an architecture (.json)")
    _add_space_options(parser)
    parser.add_argument("--genotype", help="the decisions, as JSON or a .json file; without it a random network")
    parser.add_argument("--seed", type=int, help="of the random network (0)")
    parser.add_argument("--layers", action="store_true", help="show every operation, not only the blocks")
    parser.add_argument("--latency", action="store_true", help="measure its latency on this machine too")
    parser.add_argument("--runtime", default="auto", help=f"for --latency: auto, {', '.join(RUNTIMES)}")
    parser.add_argument("--batch", type=int, default=1, help="for --latency: examples at a time (1)")
    parser.add_argument("--threads", type=int, default=1, help="for --latency: of the CPU (1)")
    parser.add_argument(
        "--records", default="runs", metavar="DIR", help="for --latency: may hold a device profile (runs)"
    )
    parser.add_argument("--draw", metavar="FILE", help="draw the network too: .svg, .png or .dot")
    return parser


_PROFILE_EXAMPLES = """\
  python -m nas.profile reference/resnet50
  python -m nas.profile mbconv --seed 3                  a random network of a space
  python -m nas.profile runs/NAME/best_architecture.json
  python -m nas.profile reference/mobilenet_v2 --let width=0.5 --data 3x160x160
  python -m nas.profile reference/resnet18 --layers      every operation
  python -m nas.profile reference/resnet18 --json > costs.json
  python -m nas.profile reference/mobilenet_v2 --latency --runtime onnxruntime --threads 2
"""


def proxies_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas.proxies`."""
    from nas.evaluators.proxies.names import PROXY_NAMES

    parser = console.parser(
        "python -m nas.proxies",
        "Measures zero-cost proxies on the networks that a search has trained, without training them, and says how "
        "well each orders them (Kendall's tau with its 95 % interval). One that does not beat the costs that "
        "are counted for nothing, and a model of them, is of no use for this space and data.",
        _PROXIES_EXAMPLES,
    )
    parser.add_argument("run", help="run folder of a search with evaluator=train")
    parser.add_argument("--proxies", default=",".join(PROXY_NAMES), help="names, separated by commas")
    parser.add_argument("--most", type=int, default=200, help="networks to measure, the first ones")
    parser.add_argument("--batch", type=int, default=64, help="images a batch")
    return parser


_PROXIES_EXAMPLES = """  python -m nas.proxies runs/NAME
      All proxies on the networks that a search has trained, beside all costs.
  python -m nas.proxies runs/NAME --proxies naswot,zico --most 50
"""


def report_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas report`."""
    parser = console.parser(
        "nas report",
        "Write what came of a run as one HTML page that opens without a network, with its two main charts "
        "as PNG: what was asked and found, accuracy against costs, the course of the search, which decisions matter, "
        "what limits rejected, all trials, time, and the commands that repeat it. Several searches are shown side by "
        "side.",
        _REPORT_EXAMPLES,
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folder of a search, a comparison or a scaling study"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="of the page (RUN/report.html; of several runs report.html here)"
    )
    parser.add_argument(
        "--optuna",
        metavar="FILE",
        help="write one search as a journal of Optuna's too (.log or .journal): optuna-dashboard FILE shows it",
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="of one search that runs: write the page anew after each trial until it ends; an open page renews itself",
    )
    return parser


_REPORT_EXAMPLES = """\
  nas report runs/NAME                               writes runs/NAME/report.html, report_costs.png, report_progress.png
  nas report runs/a runs/b runs/c --output abc.html  searches side by side: same objective, one table, shared charts
  nas report runs/NAME --follow                      while the search runs: the open page shows each trial as it ends
  nas report runs/NAME --optuna study.log            for optuna-dashboard, and for Optuna's own plots and importances

A search, a comparison and a scaling study write it when they end, and an interrupted search too; this writes it anew,
also of a search that still runs. A page holds everything that it shows: send it, print it, keep it beside the figures.
"""


def space_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas.space`."""
    parser = console.parser("python -m nas.space", "Print what a search space holds.", _SPACE_EXAMPLES)
    parser.add_argument("space", nargs="?", help="name of a space, or path of a .yaml file")
    _add_space_options(parser)
    parser.add_argument("--samples", type=int, default=1000, help="random networks whose costs are shown (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of the network drawn (0)")
    parser.add_argument("--draw", metavar="FILE", help="draw a random network: .svg, .png or .dot")
    parser.add_argument("--blocks", action="store_true", help="print the names of all blocks")
    parser.add_argument("--block", metavar="NAME", help="print what a block does, and its settings")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of space files")
    return parser


_SPACE_EXAMPLES = """\
  python -m nas.space                               the names of all spaces
  python -m nas.space mbconv                        decisions, size, costs, smallest and largest network
  python -m nas.space my_space.yaml --data 1x28x28 --classes 10
  python -m nas.space mbconv --draw network.svg     draw one network; also .png and .dot (Graphviz)
  python -m nas.space reference/mobilenet_v2 --let width=0.5
  python -m nas.space mbconv --fix stages.0.kernel=3 --fix 'stages.*.depth=[1, 2]'
  python -m nas.space --blocks                      what blocks there are
  python -m nas.space --block mbconv                one of them, with its settings
  python -m nas.space --schema > space.schema.json  JSON Schema of space files, for editors
"""


def _add_space_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that reads a space: `nas.commands.space.space_from` understands it."""
    parser.add_argument("--let", action="append", default=[], metavar="NAME=VALUE", help="another value for a name")
    parser.add_argument(
        "--fix", action="append", default=[], metavar="DECISION=VALUE", help="bind a decision to a value, or to [A, B]"
    )
    parser.add_argument("--data", metavar="CxHxW", help="shape of the input; CxL for series (what the space assumes)")
    parser.add_argument("--classes", type=int, help="number of classes (what the space assumes)")


def predict_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas predict`, which has the options of the predict.py in exported folders."""
    parser = console.parser(
        "nas predict",
        "Say what pictures show, or of which class series are, by an exported model: the likeliest classes with their "
        "probabilities.",
        _PREDICT_EXAMPLES,
    )
    parser.add_argument("folder", metavar="DIR", help="that nas export wrote, a run folder with one, or an .onnx file")
    parser.add_argument(
        "images",
        nargs="+",
        metavar="FILE",
        help="a picture: JPEG, PNG, WebP or what else pillow reads; for a model of series .ts, .tsv, .csv or .npz",
    )
    parser.add_argument("--model", metavar="NAME", help="file of the model in DIR (model.onnx)")
    parser.add_argument("--top", type=int, default=5, help="classes that are told of each picture (5)")
    parser.add_argument("--batch", type=int, default=32, help="pictures or series at a time (32)")
    both = parser.add_mutually_exclusive_group()
    both.add_argument(
        "--labelled", action="store_true", default=None, help="rows of tables begin with a class: left out"
    )
    both.add_argument(
        "--unlabelled", action="store_false", dest="labelled", help="they do not, whatever they look like"
    )
    parser.add_argument("--format", choices=("csv", "json"), default="csv", help="csv or json (csv)")
    parser.add_argument(
        "--max-pixels", type=int, default=100_000_000, metavar="N", help="a file with more is not read (100,000,000)"
    )
    parser.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument(
        "--masks", metavar="DIR", help="of a model for segmentation: a new folder for the class of each pixel, as PNG"
    )
    return parser


_PREDICT_EXAMPLES = """\
  nas predict shipped photo.jpg more/*.png             the five likeliest classes of each, as CSV
  nas predict shipped photo.jpg --top 1 --format json
  nas predict runs/NAME *.jpg --model model.int8.onnx --output classes.csv
  nas predict shipped *.jpg --masks masks              segmentation: a PNG each, whose levels are classes, and shares

  nas predict shipped new.tsv OTHER_TEST.ts            a model for series: each is FILE:LINE

A picture is read as in training. Of series .ts is as in the UEA archive; .tsv and .csv have one of one channel in a row
(--labelled: behind its class, as in the UCR archive); .npz has an array x, (n, length) or (n, channels, length). One
that cannot be read is named, the others go on, and the exit code is 2. Where nas is not installed, python
DIR/predict.py does the same with numpy, onnxruntime and, for pictures, pillow only.
"""


def completion_parser() -> argparse.ArgumentParser:
    """Return the parser of `nas completion`."""
    parser = console.parser(
        "nas completion",
        "Print the script that lets a shell complete commands, settings, options and names of spaces.",
        _COMPLETION_EXAMPLES,
        json=False,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")
    return parser


_COMPLETION_EXAMPLES = """\
  eval "$(nas completion bash)"     in ~/.bashrc
  eval "$(nas completion zsh)"      in ~/.zshrc, after compinit
"""


def known_values(action: argparse.Action) -> Sequence[str]:
    """Return the names that an option or argument of these parsers takes; empty where it takes something else."""
    if action.choices is not None:
        return list(action.choices)
    if action.dest in ("space", "network"):
        return space_names()
    if action.dest == "runtime":
        from nas.latency.deployment import RUNTIMES

        return ["auto", *RUNTIMES]
    if action.dest in ("task", "device", "priority"):
        from nas.advise import rules_of_thumb

        return {"task": rules_of_thumb.TASKS, "device": rules_of_thumb.DEVICES, "priority": rules_of_thumb.PRIORITIES}[
            action.dest
        ]
    return []
