"""`nas clean [RUN...]`: what runs or the cache of images take of the disk, and what of it nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.run_options import clean_parser
from nas.console import run
from nas.errors import ConfigError, NasError
from nas.json_output import add_facts
from nas.run_folder import folders_in, shown, user_path

if TYPE_CHECKING:
    from nas.cleaning import RunFiles


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, and list or remove; returns the exit code."""
    given = clean_parser().parse_args(arguments)
    folders = [user_path(folder) for folder in given.runs]
    return run(
        "nas.clean",
        lambda: (
            _clean(folders, user_path(given.records), given.keep, states=given.states, yes=given.yes)
            if given.cache is None
            else _clean_cache(given.cache, yes=given.yes)
        ),
        json=given.json,
    )


def _clean(folders: Sequence[Path], records: Path, keep: int, *, states: bool, yes: bool) -> None:
    from nas.cleaning import files_of, remove

    found = []
    for folder in folders or folders_in(records):
        if not folder.is_dir():
            raise ConfigError(f"there is no folder {folder}")
        found.append(files_of(folder, keep=keep, states=states))
        print("\n".join(_lines(found[-1])), flush=True)
    add_facts({"runs": [_facts(one) for one in found], "removed_bytes": 0})
    whole, unneeded = sum(one.size for one in found), sum(one.unneeded_size for one in found)
    if not unneeded:
        print(f"Of {_mib(whole)} nothing can go.")
    elif not yes:
        print(f"Of {_mib(whole)} {_mib(unneeded)} can go. Nothing was removed: --yes does that.")
    else:
        removed, problems = 0, []
        for one in found:
            try:
                removed += remove(one.run, keep=keep, states=states) if one.unneeded else 0
            except NasError as error:  # the others can be cleaned
                problems.append(str(error))
        add_facts({"removed_bytes": removed})
        print(f"Removed {_mib(removed)} of {_mib(whole)}.")
        if problems:
            raise ConfigError("; ".join(problems))


def _clean_cache(cache: str, *, yes: bool) -> None:
    """List the pixels that are cached, or remove them; `cache` as `data.cache`."""
    from nas.training.data.cache.clearing import entries_in, remove_entries
    from nas.training.data.cache.place import cache_folder

    folder = cache_folder(cache)
    if folder is None:
        raise ConfigError(f"--cache names the folder of a cache, or auto, but got {cache}")
    found = entries_in(folder)
    for entry, size in found.items():
        print(f"{entry.name}: {_mib(size)}")
    removed = remove_entries(folder) if yes else 0
    add_facts({"cache": folder, "entries": [{"name": e.name, "bytes": size} for e, size in found.items()]})
    add_facts({"removed_bytes": removed})
    whole = f"{_mib(sum(found.values()))} of pixels in {shown(folder)}"
    print(f"Removed {_mib(removed)} of {whole}." if yes else f"{whole}. Nothing was removed: --yes does that.")


def _facts(found: RunFiles) -> dict[str, Any]:
    unneeded = [{"what": one.what, "files": list(one.files), "bytes": one.size} for one in found.unneeded]
    return {"run_folder": found.run, "bytes": found.size, "unneeded": unneeded, "left_alone": found.left_alone or None}


def _lines(found: RunFiles) -> Iterator[str]:
    alone = f"; left alone: {found.left_alone}" if found.left_alone else ""
    yield f"{shown(found.run.absolute())}: {_mib(found.size)}{alone}"
    for one in found.unneeded:
        yield f"  {_mib(one.size)} in {len(one.files)} file{'s' * (len(one.files) != 1)}: {one.what}"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
