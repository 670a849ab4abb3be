"""What is known of a trained network, and card.md, which says it to whoever uses the exported files.

What comes from others, such as names of classes, stands in card.md as `markdown` writes it; in JSON files and in the
metadata of models it is exactly what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from nas.cost import Cost
from nas.errors import DataError, NasError, plain
from nas.exporting import picture_card, series_card
from nas.exporting.markdown import markdown
from nas.exporting.preprocess import Preprocess
from nas.exporting.series_card import named, of_series
from nas.exporting.series_preprocess import AnyPreprocess, SeriesPreprocess
from nas.training.tasks.registry import DEFAULT, score_named, task_named

CARD = "card.json"
"""The file that a `Card` stands in, in the folder of a training."""
SPLITS = ("validation", "test")
_LARGEST = 1e9
"""Of an end of an interval."""
WHICH = "Which file to ship"
"""The heading of the table of model files."""

LICENCE = (
    "The code in this folder may be used for anything. Nothing is said here about the weights: what may be done with "
    "them depends on the licence of the images that they were trained on, which nas does not know; add it here."
)
LIMITS = DEFAULT.limits


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A score that a network reached, and what it is."""

    value: float
    """As large as it is: a share from 0 to 1, or a number in its own unit."""
    split: str
    """`validation` or `test`."""
    how: str
    """What it is: `selected out of 24 trials`, or `mean of 3 fresh seeds`."""
    low: float | None = None
    high: float | None = None
    """Ends of its 95 % interval; None where there is none."""
    images: int | None = None
    """That it was counted on."""
    name: str = DEFAULT.default
    """Which score of which task, as `nas.training.tasks` names it without the split."""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise DataError(f"card: the split of a score must be one of {SPLITS}, but got {self.split!r:.80}")
        if not isinstance(self.how, str):
            raise DataError(f"card: what a score is must be text, but got {self.how!r:.80}")
        share = score_named(self.name).share
        if not _is_number(self.value) or (share and not 0 <= self.value <= 1):
            raise DataError(f"card: a score must be a number{' from 0 to 1' * share}, but got {self.value!r:.80}")
        for end in (self.low, self.high):
            if end is not None and not _is_number(end):
                raise DataError(f"card: an end of an interval must be a number, but got {end!r:.80}")
        if self.images is not None and (type(self.images) is not int or self.images < 0):
            raise DataError(f"card: the images of a score must be a whole number >= 0, but got {self.images!r:.80}")

    def __str__(self) -> str:
        interval, score = "", score_named(self.name)
        if self.low is not None and self.high is not None:
            # Cards from before have intervals over seeds that go beyond what an accuracy can be.
            ends = (max(0, self.low), min(1, self.high)) if score.share else (self.low, self.high)
            interval = f" [{', '.join(map(score.text, ends))}]"
        images = f", {self.images:,} images" if self.images is not None else ""
        return f"{score.text(self.value)}{interval} on {self.split} ({self.how}{images})"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """Read what `asdict` gives; earlier cards call the value after the only score that there was."""
        earlier = {"value": values[DEFAULT.default]} if DEFAULT.default in values else {}
        return cls(**{name: value for name, value in values.items() if name != DEFAULT.default}, **earlier)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What is known of a trained network beside what its files say."""

    name: str
    """Of the model, a line."""
    scores: tuple[Score, ...] = ()
    """What it reached, the most telling one first."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """How it was trained: settings of the recipe, seed, seconds, and the like."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained on: `ImageData.record()`, with the fingerprint of the splits."""
    origin: str = ""
    """Where the network comes from: a search of which space under which limits, or a paper."""
    limits: tuple[str, ...] = LIMITS
    """What it is not good for, a sentence each."""
    licence: str = LICENCE
    """What may be done with it."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "scores": [asdict(score) for score in self.scores], "limits": list(self.limits)}

    @classmethod
    def from_dict(cls, values: object) -> Card:
        """Read what `to_dict` wrote, or others; raises `DataError` where it is none."""
        names = {member.name for member in fields(cls)}
        if not isinstance(values, Mapping) or "name" not in values or not values.keys() <= names:
            raise DataError(f"a card must have a name and may have {sorted(names)}, but got {values!r:.120}")
        for name, kind, what in _KINDS:
            if not isinstance(values.get(name, kind()), kind):
                raise DataError(f"card.{name} must be {what}, but got {values[name]!r:.80}")
        limits = values.get("limits", list(LIMITS))
        if not all(isinstance(limit, str) for limit in limits):
            raise DataError(f"card.limits must be a list of texts, but got {limits!r:.80}")
        try:
            scores = tuple(Score.from_dict(score) for score in values.get("scores", []))
            json.dumps(values, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"a card must be text that can be written as UTF-8, but has {error.object!r:.80}") from None
        except NasError:
            raise
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            raise DataError(f"a card cannot be read: {plain(str(error), 200)}") from None
        return cls(**{**values, "scores": scores, "limits": tuple(limits)})


_KINDS: tuple[tuple[str, type, str], ...] = (
    *((name, str, "text") for name in ("name", "origin", "licence")),
    *((name, list, "a list") for name in ("scores", "limits")),
    *((name, dict, "a mapping") for name in ("training", "data")),
)
"""What the values of a card are in JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFigures:
    """What was measured of a model file itself."""

    file: str
    """Its name."""
    bytes: int
    """Its size."""
    share: float | None = None
    """On the validation images, of `score`."""
    score: str = DEFAULT.eight_bits
    """That 8 bits are compared by (`Task.eight_bits`)."""
    latency_ms: float | None = None
    """For one picture in a quiet moment: the median over rounds of the fastest run in each."""
    verdict: str = ""
    """Whether to ship it, and why."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the score by its name."""
        values = asdict(self)
        return {values["score"] if name == "share" else name: values[name] for name in values if name != "score"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was measured of the files, and how."""

    files: tuple[FileFigures, ...]
    """Of each model file that was made, kept or not."""
    images: int = 0
    """Validation images."""
    device: str = ""
    """Processor, system, runtime with its version, threads, and size of the picture."""
    notes: tuple[str, ...] = ()
    """More to be said, a sentence each."""


def card_text(
    card: Card, *, arch_id: str, cost: Cost, preprocess: AnyPreprocess, measured: Measured, files: Sequence[str]
) -> str:
    """Return card.md.

    Args:
        card: what is known of the network.
        arch_id: its `Architecture.arch_id`.
        cost: what it costs.
        preprocess: what is done to a picture or a series.
        measured: what was measured of the files.
        files: names of what is in the folder.

    The notes and verdicts in `measured` are Markdown already.
    """
    if isinstance(preprocess, SeriesPreprocess):
        name = named(card.name, task_named(preprocess.task).model)
        limits, licence = tuple(map(of_series, card.limits)), of_series(card.licence)
        card = replace(card, name=name, limits=limits, licence=licence)
    parts = [
        [f"# {markdown(card.name)}"],
        _what(card, arch_id, preprocess),
        [f"## {_heading(card)}", *(_listed(_scores(card, preprocess)) or ["Not recorded."])],
        [f"## {WHICH}", *_table(measured, preprocess)],
        ["## Cost", *_cost(cost, preprocess)],
        ["## How to use it", *_use(files, preprocess)],
        ["## Limits", *_listed([*map(markdown, card.limits)])],
        ["## Training", *(_listed(_settings(card.training)) or ["Not recorded."])],
        ["## Data", *(_listed(_settings(card.data)) or ["Not recorded."])],
        ["## Licence", markdown(card.licence)],
    ]
    return "\n\n".join("\n".join(_spaced(part)) for part in parts) + "\n"


def section(text: str, heading: str) -> str:
    """Return what stands under a heading of a card."""
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0].strip()


def _spaced(part: Sequence[str]) -> list[str]:
    """Put an empty line behind a heading."""
    first, *rest = part
    return [first, "", *rest] if first.startswith("#") and rest else list(part)


def _listed(lines: Sequence[str] | Iterator[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _what(card: Card, arch_id: str, preprocess: AnyPreprocess) -> list[str]:
    model = task_named(preprocess.task).model
    model = of_series(model) if isinstance(preprocess, SeriesPreprocess) else model
    task = task_named(preprocess.task)
    what = f"{'An' if model[0] in 'aeiou' else 'A'} {model} for {len(preprocess.classes)} {task.outputs}"
    trained = (
        series_card.trained_on(preprocess)
        if isinstance(preprocess, SeriesPreprocess)
        else picture_card.trained_on(preprocess)
    )
    lines = [f"{what}: {_few(preprocess.classes)}. {trained} Network `{arch_id}`."]
    return [*lines, "", markdown(card.origin)] if card.origin else lines


def _heading(card: Card) -> str:
    """Return the name of what a card's scores are, for a heading."""
    words = score_named(card.scores[0].name if card.scores else DEFAULT.default).words
    return words[0].upper() + words[1:]


def _scores(card: Card, preprocess: AnyPreprocess) -> list[str]:
    lines = [str(replace(score, how=markdown(score.how))) for score in card.scores]
    return [*map(of_series, lines)] if isinstance(preprocess, SeriesPreprocess) else lines


def _few(classes: Sequence[str], most: int = 20) -> str:
    more = f" and {len(classes) - most:,} more" if len(classes) > most else ""
    return ", ".join(map(markdown, classes[:most])) + more


def _table(measured: Measured, preprocess: AnyPreprocess) -> Iterator[str]:
    task = task_named(preprocess.task)
    score = task.score(task.eight_bits)
    yield f"| file | MiB | validation {score.words} | ms a {preprocess.noun} | |"
    yield "| --- | --- | --- | --- | --- |"
    for one in measured.files:
        share = "not measured" if one.share is None else score.text(one.share)
        latency = "not measured" if one.latency_ms is None else f"{one.latency_ms:.3f}"
        yield f"| `{one.file}` | {one.bytes / 2**20:.2f} | {share} | {latency} | {one.verdict} |"
    if measured.device:
        yield ""
        what = "images" if isinstance(preprocess, Preprocess) else preprocess.kind
        scored = f"{score.words} on {measured.images:,} validation {what}; " if measured.images else ""
        yield f"Measured on these very files: {scored}time on {measured.device}."
    for note in measured.notes:
        yield ""
        yield note


def _cost(cost: Cost, preprocess: AnyPreprocess) -> list[str]:
    return _listed(
        [
            f"{cost.params:,} parameters, {cost.size_mib:.2f} MiB in fp32",
            f"{cost.macs:,} multiply-adds a {preprocess.noun} (FLOPs are twice as many)",
            f"{cost.peak_memory_mib:.2f} MiB of activations at the most",
        ]
    )


def _use(files: Sequence[str], preprocess: AnyPreprocess) -> Iterator[str]:
    task = task_named(preprocess.task)
    names = 'json.loads(session.get_modelmeta().custom_metadata_map["classes"])'
    show = f"print(dict(zip({names}, {task.answer}[0])))"
    if task == DEFAULT:
        show = f"print({names}[{task.answer}[0].argmax()])"
    elif task.dense:
        show = f"print(class_map[0], {names})  # uint8, the place of the class of each pixel"
    values: dict[str, object] = {
        "outputs": ", ".join([task.raw, task.answer, *(["class_map"] if task.dense else [])]),
        "show": show,
        "options": "--masks FOLDER --format json" if task.dense else "--top 3",
    }
    if isinstance(preprocess, SeriesPreprocess):
        examples, values = series_card.EXAMPLES, values | series_card.places(preprocess)
    else:
        examples, values = picture_card.EXAMPLES, values | picture_card.places(preprocess)
    for number, (name, text) in enumerate((name, text) for name, text in examples.items() if name in files):
        yield from ([""] if number else [])
        yield from (f"`{name}`", "", text.format(**values))


def _settings(values: Mapping[str, Any]) -> list[str]:
    return [f"{markdown(name)}: {markdown(_plain(value))}" for name, value in values.items()]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
