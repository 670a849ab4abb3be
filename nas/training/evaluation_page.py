"""An evaluation as one HTML page: tables and small pictures, without scripts and without anything from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from html import escape as escape_html
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from nas.errors import in_a_line
from nas.exporting.class_maps import NO_CLASS, palette
from nas.training.evaluate import Evaluated
from nas.training.scores import CLOPPER_PEARSON, Scores
from nas.training.scores_of_answers import AnswerScores
from nas.training.series_drawing import line_chart
from nas.training.tasks.classification import TOP
from nas.training.tasks.registry import task_named

_PICTURE = 96
"""Pixels of the longer side of a small picture, at least."""
_MOST_CLASSES = 40
"""Of a confusion matrix that is shown whole."""
_MOST_CONFUSED = 30
_LONGEST = 2000
"""Letters of a text."""
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2430 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
td { overflow-wrap: anywhere; min-width: 4rem } th:first-child, td:first-child { min-width: 8rem }
th, td { padding: .2rem .6rem; text-align: right; border: 1px solid #d5dbe3 }
th:first-child, td:first-child { text-align: left } thead th { background: #f2f4f7 }
.scroll { overflow-x: auto } .worst { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0; width: 11rem }
figcaption { font-size: .8rem; overflow-wrap: anywhere } img { image-rendering: pixelated; border: 1px solid #d5dbe3 }
"""


def escape(text: str) -> str:
    """Return a text as HTML that shows it, what is no visible letter as Python writes it."""
    return escape_html(in_a_line(text, _LONGEST))


def page(evaluated: Evaluated) -> str:
    """Return the text of the page."""
    title, parts = _classified(evaluated) if isinstance(evaluated.scored, Scores) else _answered(evaluated)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        # Nothing is loaded, and no script runs.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join([f"<h1>{escape(title)}</h1>", *parts])
        + "\n</body></html>\n"
    )


def _classified(evaluated: Evaluated) -> tuple[str, list[str]]:
    """Return title and parts of the page of a classification."""
    scores = evaluated.scored
    assert isinstance(scores, Scores)
    parts = [
        *_head(evaluated, scores),
        "<h2>Classes</h2>",
        *_classes(scores),
        "<h2>What is taken for what</h2>",
        *_confusion(scores),
        "<h2>Confidence</h2>",
        *_bins(scores),
        "<h2>Most wrong about</h2>",
        *_worst(evaluated, scores),
    ]
    return f"{evaluated.data}, {evaluated.where}: accuracy {scores.accuracy:.2%}", parts


def _answered(evaluated: Evaluated) -> tuple[str, list[str]]:
    """Return title and parts of the page of another task."""
    scores = evaluated.scored
    assert isinstance(scores, AnswerScores)
    task = task_named(scores.task)
    main = task.score(task.default)
    parts = [
        *_table([*_model(evaluated), *lines_of(scores), *_splits(evaluated)]),
        f"<h2>{task.outputs.capitalize()}</h2>",
        *_outputs(scores),
        "<h2>Most wrong about</h2>",
        *_wrong(evaluated, scores),
    ]
    return f"{evaluated.data}, {evaluated.where}: {main.words} {main.text(scores.scores[main.name])}", parts


def lines_of(scores: AnswerScores) -> Iterator[tuple[str, str]]:
    """Yield scores with their names, in words."""
    task = task_named(scores.task)
    for score in task.scores:
        if score.name in scores.scores:
            low, high = scores.intervals.get(score.name, (None, None))
            ends = "" if low is None else f" ({low:.4f} to {high:.4f}: {scores.interval})"
            yield score.words, f"{scores.scores[score.name]:.4f}{ends}"


def _outputs(scores: AnswerScores) -> Iterator[str]:
    names = [*scores.outputs[0].scores]
    heads = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in names)
    yield f"<table><thead><tr><th>name</th><th>images</th>{heads}</tr></thead>"
    for one in scores.outputs:
        cells = "".join(f"<td>{'' if value is None else f'{value:.4g}'}</td>" for value in one.scores.values())
        yield f"<tr><td>{escape(one.name)}</td><td>{one.images:,}</td>{cells}</tr>"
    yield "</table>"


def _wrong(evaluated: Evaluated, scores: AnswerScores) -> Iterator[str]:
    if not scores.worst:
        yield "<p>No image is told wrongly.</p>"
        return
    if evaluated.maps:
        yield from _legend(scores)
    yield '<div class="worst">'
    for place, (one, pixels) in enumerate(zip(scores.worst, evaluated.pixels, strict=True)):
        which = one.name or f"image {one.image} of the split"
        shown = picture(pixels, which)
        for mask, what in zip(evaluated.maps[place] if evaluated.maps else (), _MAPS, strict=False):
            shown += f" {picture(palette()[mask].transpose(2, 0, 1), f'{which}, {what}')}"
        yield (
            f"<figure>{shown}<figcaption>is <b>{escape(one.label)}</b>, called "
            f"<b>{escape(one.predicted)}</b><br>{escape(which)}</figcaption></figure>"
        )
    yield "</div>"


_MAPS = "what is right", "what it says"


def _legend(scores: AnswerScores) -> Iterator[str]:
    """Yield the colours of the classes."""
    colours, names = palette(), [(place, one.name) for place, one in enumerate(scores.outputs)]
    keys = " ".join(
        f'<span style="background: rgb{tuple(colours[place].tolist())}; padding: 0 .6em"></span> {escape(name)}'
        for place, name in [*names, (NO_CLASS, "not counted")]
    )
    yield f"<p>Each picture, then {' and '.join(_MAPS)}: {keys}</p>"


def _head(evaluated: Evaluated, scores: Scores) -> Iterator[str]:
    return _table(
        [
            *_model(evaluated),
            ("Accuracy", f"{scores.accuracy:.4f} ({scores.correct:,} of {scores.images:,} images)"),
            ("95 % interval", f"{scores.low:.4f} to {scores.high:.4f} ({CLOPPER_PEARSON})"),
            ("Balanced accuracy", f"{scores.balanced_accuracy:.4f} (mean recall of the classes)"),
            ("Macro F1", f"{scores.macro_f1:.4f} (mean F1 of the classes)"),
            *[(f"Top-{TOP} accuracy", f"{scores.top5:.4f}")] * (len(scores.classes) > TOP),
            ("Log loss", f"{scores.log_loss:.4f}"),
            ("Expected calibration error", f"{scores.calibration_error:.4f}"),
            *_splits(evaluated),
        ]
    )


def _model(evaluated: Evaluated) -> Iterator[tuple[str, str]]:
    yield "Model", f"{evaluated.folder / evaluated.file}"
    yield "Network", evaluated.arch_id or "not stated"


def _splits(evaluated: Evaluated) -> Iterator[tuple[str, str]]:
    yield "Fingerprint of the splits", evaluated.fingerprint
    yield "Data of the training", evaluated.other_data or "these, split as they are here"


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "<table>"
    for name, value in rows:
        yield f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>"
    yield "</table>"


def _classes(scores: Scores) -> Iterator[str]:
    yield "<table><thead><tr><th>class</th><th>images</th><th>precision</th><th>recall</th><th>F1</th></tr></thead>"
    for one in scores.classes:
        yield (
            f"<tr><td>{escape(one.name)}</td><td>{one.images:,}</td><td>{one.precision:.3f}</td>"
            f"<td>{one.recall:.3f}</td><td>{one.f1:.3f}</td></tr>"
        )
    yield "</table>"


def _confusion(scores: Scores) -> Iterator[str]:
    names = [escape(one.name) for one in scores.classes]
    if len(names) > _MOST_CLASSES:
        yield from _most_confused(scores, names)
        return
    yield "<p>Rows: the class of an image. Columns: what it is called.</p>"
    yield '<div class="scroll"><table><thead><tr><th></th>' + "".join(f"<th>{name}</th>" for name in names)
    yield "</tr></thead>"
    for place, (name, row) in enumerate(zip(names, scores.confusion, strict=True)):
        cells = "".join(_cell(value, sum(row), right=place == column) for column, value in enumerate(row))
        yield f"<tr><th>{name}</th>{cells}</tr>"
    yield "</table></div>"


def _cell(value: int, total: int, *, right: bool) -> str:
    share = value / total if total else 0.0
    color = f"rgba({'46, 125, 50' if right else '198, 40, 40'}, {0.75 * share**0.5:.2f})"
    return f'<td style="background: {color}">{value or ""}</td>'


def _most_confused(scores: Scores, names: list[str]) -> Iterator[str]:
    pairs = [
        (value, row, column)
        for row, values in enumerate(scores.confusion)
        for column, value in enumerate(values)
        if value and row != column
    ]
    yield f"<p>The pairs that are mixed up most, of {len(names)} classes; all of them are in the JSON file.</p>"
    yield "<table><thead><tr><th>class</th><th>called</th><th>images</th></tr></thead>"
    for value, row, column in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:_MOST_CONFUSED]:
        yield f"<tr><td>{names[row]}</td><td>{names[column]}</td><td>{value}</td></tr>"
    yield "</table>"


def _bins(scores: Scores) -> Iterator[str]:
    yield "<p>Where confidence is what it says, confidence and accuracy are alike in each row.</p>"
    yield "<table><thead><tr><th>confidence</th><th>images</th><th>mean confidence</th><th>accuracy</th></tr></thead>"
    for one in scores.bins:
        yield (
            f"<tr><td>{one.low:.2f} to {one.high:.2f}</td><td>{one.images:,}</td><td>{one.confidence:.3f}</td>"
            f"<td>{one.accuracy:.3f}</td></tr>"
        )
    yield "</table>"


def _worst(evaluated: Evaluated, scores: Scores) -> Iterator[str]:
    if not scores.worst:
        yield "<p>No image is classified wrongly.</p>"
        return
    yield '<div class="worst">'
    for mistake, pixels in zip(scores.worst, evaluated.pixels, strict=True):
        which = mistake.name or f"image {mistake.image} of the split"
        yield (
            f"<figure>{picture(pixels, which)}<figcaption>is <b>{escape(mistake.label)}</b> ({mistake.of_label:.1%}), "
            f"called <b>{escape(mistake.predicted)}</b> ({mistake.probability:.1%})<br>{escape(which)}</figcaption>"
            "</figure>"
        )
    yield "</div>"


def picture(pixels: NDArray[Any], text: str) -> str:
    """Return an image as an `img` element that holds it: a small one at a whole multiple of its size.

    Args:
        pixels: uint8 of `(channels, height, width)` with 1 or 3 channels; of a series, which is drawn as a line,
            numbers of `(channels, length)`.
        text: what it is, for those who do not see it.
    """
    if pixels.ndim == 2:
        return line_chart(pixels, in_a_line(text, _LONGEST))
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    if max(image.size) > 2 * _PICTURE:
        image.thumbnail((2 * _PICTURE, 2 * _PICTURE))
    times = max(1, _PICTURE // max(image.size))
    file = io.BytesIO()
    image.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    width, height = (times * side for side in image.size)
    return f'<img src="data:image/png;base64,{data}" alt="{escape(text)}" width="{width}" height="{height}">'
