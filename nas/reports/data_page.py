"""What a data set holds, as a page with some of its images."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from nas.errors import counted, in_a_line
from nas.reports.render import render
from nas.reports.tables import Head, Table, table_of, whole, words
from nas.training.data.content import SPLITS
from nas.training.data.overview import Alike, Overview, Samples
from nas.training.series_drawing import line_chart

_MOST_CLASSES, _MOST_GROUPS = 100, 50
_FEW = 100
"""Validation images, below which an accuracy is uncertain by 10 points and more."""
_SIDE = 64
"""Pixels along the longer side of an image on the page."""


@dataclass(frozen=True)
class DataPage:
    """What the template of a data set shows."""

    summary: tuple[str, ...]
    splits: Table
    samples: tuple[tuple[str, tuple[Markup, ...]], ...]
    copies: Table | None
    alike: Table | None


def data_page(found: Overview, samples: Samples) -> str:
    """Return the text of the page of a data set."""
    shown = [(name, tuple(map(_image, images))) for name, images in [*samples.items()][:_MOST_CLASSES]]
    page = DataPage(
        summary=tuple(lines_of(found)),
        splits=_splits(found),
        samples=tuple(shown),
        copies=_groups(found.copies),
        alike=_groups(found.alike),
    )
    return render("data.html", f"Data {found.name}: {len(found.classes):,} {found.outputs}", page=page)


def lines_of(found: Overview) -> Iterator[str]:
    """Yield what was found, a sentence each."""
    counts = found.images
    shape, outputs = "x".join(map(str, found.input_shape)), counted(len(found.classes), found.outputs)
    what = "images" if len(found.input_shape) == 3 else "series"
    yield (
        f"{sum(counts.values()):,} {what} of {outputs}, read as {shape}: {counts['train']:,} for "
        f"training, {counts['val']:,} for validation, {counts['test']:,} for the test"
    )
    if len(found.sizes) == 1:  # of several the notes tell
        yield f"Width x height: {found.sizes[0][0]}"
    if found.formats:
        yield "Formats: " + ", ".join(f"{name} {count:,}" for name, count in found.formats.items())
    if 0 < found.grey < found.looked_at:  # and of all, and of copies
        yield f"Grey although read in colour: {found.grey:,} of {found.looked_at:,}"
    if found.alike:
        pairs = f"{len(found.alike):,} pair{'s' * (len(found.alike) > 1)}"
        yield f"Alike: {pairs} of other content that look the same, which may be in several splits"
    if found.rare:
        classes = f"{len(found.rare):,} class{'es have' if len(found.rare) > 1 else ' has'}"
        yield f"Rare: {classes} one or two {what}: {', '.join(map(in_a_line, found.rare[:10]))}"
    yield from _few(found, what)
    yield from found.notes


def _few(found: Overview, what: str) -> Iterator[str]:
    """Say how little few validation images tell: half of the 95 % interval of an accuracy is up to 0.98 / sqrt(n)."""
    n = found.images["val"]
    one_each = all(sum(found.images_by_class[split]) == found.images[split] for split in SPLITS)
    if found.folds or n >= _FEW or found.segments or not one_each or len(found.classes) < 2:
        return
    yield (
        f"Few: of {n:,} validation {what} an accuracy is known to within {98 / max(1, n) ** 0.5:.0f} points (95 %). "
        f"data.folds=5 scores each network on all {n + found.images['train']:,} of training and validation, in five "
        "times the time"
    )


def _splits(found: Overview) -> Table:
    columns = {split: found.images_by_class[split] for split in SPLITS}
    columns |= {f"fold {number}": counts for number, counts in enumerate(found.folds, start=1)}
    heads = (Head(found.outputs, "text"), *map(Head, columns))
    rows = (
        [words(name), *(whole(counts[label]) for counts in columns.values())]
        for label, name in enumerate(found.classes)
    )
    return table_of(heads, rows)


def _groups(groups: Sequence[Alike]) -> Table | None:
    if not groups:
        return None
    heads = (Head("images", "text"), Head("classes", "text"))
    named = ((", ".join(one.names[:5]), ", ".join(dict.fromkeys(one.classes))) for one in groups[:_MOST_GROUPS])
    return table_of(heads, ([words(names), words(classes)] for names, classes in named))


def _image(levels: NDArray[Any]) -> Markup:
    if levels.ndim == 2:
        return Markup(line_chart(levels, ""))  # made of numbers alone
    picture = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    scale = _SIDE / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    out = io.BytesIO()
    picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR).save(out, "PNG")
    data = base64.b64encode(out.getvalue()).decode()
    return Markup('<img src="data:image/png;base64,{}" width="{}" height="{}" alt="">').format(data, *size)
