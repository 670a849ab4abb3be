"""The few error types users meet, and the nearest-name hint that most of them end with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class NasError(ValueError):
    """Anything that is wrong with what the user gave. The message says what, where, the rule and the value."""


class SpaceError(NasError):
    """A search space that does not follow the language, or a genotype or architecture outside a space."""


class ShapeError(NasError):
    """An operation that cannot take the tensor it is given."""

    def __init__(self, problem: str, where: str = "") -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.problem = problem
        self.where = where
        """Hierarchical name of the operation, as far as it is known."""

    def inside(self, part: str) -> ShapeError:
        """Return the same error, seen from outside of `part`."""
        return ShapeError(self.problem, f"{part}.{self.where}" if self.where else part)


class ConfigError(NasError):
    """A setting of a command or of a Python call that does not hold."""


class DataError(NasError):
    """A data set that is missing, malformed or too small for what is asked."""


class HeldOutError(NasError):
    """An attempt to read the test split where a choice is still to be made."""


class TrainingError(NasError):
    """A training run that cannot give a score, for example because its loss is not a number."""


class DeviceError(NasError):
    """A network that the device's runtime cannot run."""


class WorkerError(NasError):
    """Worker processes that cannot be started at all."""


class EvaluationError(NasError):
    """Evaluations that fail one like the other, so that going on is of no use."""


def check_kind(
    name: str, value: object, kinds: type | tuple[type, ...], what: str, kind_of: type[NasError] = NasError
) -> None:
    """Raise an error of a kind for a value that is something else than what is asked for.

    Args:
        name: of what was given, for the message.
        value: as it was given.
        kinds: that it may be.
        what: it must be, in words.
        kind_of: the error.
    """
    if not isinstance(value, kinds):
        raise kind_of(f"{name} must be {what}, but got {value!r:.80}")


def check_function(name: str, value: object, what: str = "a function") -> None:
    """Raise a `ConfigError` for what is neither None nor can be called; arguments are those of `check_kind`."""
    if value is not None and not callable(value):
        raise ConfigError(f"{name} must be {what}, or None, but got {value!r:.80}")


def why_unreadable(error: Exception) -> str:
    """Return why a file cannot be read, without the number and the path of an error of the system."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


@contextmanager
def naming(what: str, path: object) -> Iterator[None]:
    """Name a file in a `DataError` of what it holds: `weights: ...` becomes `weights FILE: ...`."""
    try:
        yield
    except DataError as error:
        if not str(error).startswith(f"{what}: "):
            raise
        raise DataError(f"{what} {path}{str(error).removeprefix(what)}") from None


def of_system(error: OSError) -> str:
    """Return what the system has refused, the file first where it is known: `FILE: No space left on device`."""
    where = [in_a_line(str(name), _LONGEST) for name in (error.filename, error.filename2) if name is not None]
    return ": ".join([" -> ".join(where), error.strerror or str(error)] if where else [error.strerror or str(error)])


_LONGEST = 2000


def reason_of(error: BaseException) -> str:
    """Return the kind and the text of any error, also of one that cannot say what it is, as `plain` text."""
    try:
        text = str(error)
    except Exception as second:  # code of the user's, which must not hide that there was an error
        text = f"(its text cannot be had: {type(second).__name__})"
    return plain(f"{type(error).__name__}: {text}")


def plain(text: str, longest: int = _LONGEST) -> str:
    """Return a text as it can be shown and stored anywhere.

    What encodes to no UTF-8 and what controls a terminal is escaped; of a text that is too long the middle is left out.
    """
    if len(text) <= longest and text.isprintable():
        return text
    if len(text) > longest:
        head, tail = 3 * longest // 4, longest // 4
        text = f"{text[:head]} [{len(text) - head - tail:,} characters left out] {text[-tail:]}"
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def in_a_line(text: str, longest: int = 60) -> str:
    """Return a `plain` text in one line, for tables: ends of lines and tabs are escaped too."""
    return plain(text, longest).replace("\n", "\\n").replace("\t", "\\t")


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8: names of files may hold bytes that are none."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def counted(number: int, plural: str) -> str:
    """Return `1 number` or `3 numbers`; also of classes."""
    one = plural.removesuffix("es") if plural.endswith("sses") else plural.removesuffix("s")
    return f"{number:,} {plural if number != 1 else one}"


def nearest(word: object, names: Iterable[str]) -> str:
    """Return a sentence that names what is close to `word`, or else everything there is."""
    known = sorted(names)
    close = difflib.get_close_matches(str(word), known, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"Known: {', '.join(known) or 'none'}."
