"""Tables as pandas, Python and spreadsheets write them; the expected values are those that were given to the writer."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.evaluators.table.settings import TableSettings
from nas.evaluators.table.table import read_table

PATHS = ["stages.0.out_channels", "stages.0.bias", "stages.0.activation", "head.0.dropout"]
SPACE = nas.SearchSpace.from_dict(
    {
        "assume": {"channels": 1, "resolution": 8, "num_classes": 4},
        "stages": [
            {
                "block": "conv",
                "out_channels": {"choose": [4, 8]},
                "bias": {"choose": [True, False]},
                "activation": {"choose": ["relu", None]},
            }
        ],
        "head": {"block": "classifier", "dropout": {"choose": [0, 0.5]}},
    }
)
ROWS: list[list[Any]] = [[4, True, "relu", 0, 0.5], [8, False, None, 0.5, 0.625]]


def _read(path: Path, space: nas.SearchSpace = SPACE) -> dict[tuple[Any, ...], float]:
    table = read_table(space, TableSettings(file=str(path), scores={"val_accuracy": "acc"}))
    return {tuple(genotype.items()): table.true(space.decode(genotype), "val_accuracy") for genotype in table.genotypes}


EXPECTED = {tuple(zip(PATHS, row[:4], strict=True)): row[4] for row in ROWS}


def _text(delimiter: str = ",", show: Any = str, ending: str = "\n") -> str:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator=ending)
    writer.writerow([*PATHS, "acc"])
    writer.writerows([[show(value) for value in row] for row in ROWS])
    return written.getvalue()


def _pandas(value: Any) -> Any:
    return "" if value is None else float(value) if type(value) is int else value


def _excel(value: Any) -> str:
    return "" if value is None else str(value).upper() if isinstance(value, bool) else str(value)


def _german(value: Any) -> str:
    words = {True: "WAHR", False: "FALSCH"}
    return words[value] if isinstance(value, bool) else _excel(value).replace(".", ",")


WRITTEN = {
    "python": _text().encode(),
    "pandas": _text(show=_pandas).encode(),
    "pandas with na_rep": _text(show=lambda value: "NaN" if value is None else value).encode(),
    "pandas all floats": _text(show=lambda value: float(value) if isinstance(value, bool) else _pandas(value)).encode(),
    "excel": _text(show=_excel, ending="\r\n").encode("utf-8-sig"),
    "excel unicode": _text("\t", _excel, "\r\n").encode("utf-16"),
    "excel german": _text(";", _german, "\r\n").encode("utf-8-sig"),
    "json": _text(show=lambda value: json.dumps(value).strip('"')).encode(),
    "spaces and commas": _text().replace(",", " , ").replace("\n", ",,\n\n").encode(),
    "excel stated": b"sep=;\r\n" + _text(";", _excel, "\r\n").encode("utf-8-sig").removeprefix(b"\xef\xbb\xbf"),
    "excel stated, quoted": _text("|", _excel, "\r\n").join(['"sep=|"\r\n', ""]).encode("utf-8-sig"),
    "percent": _text().replace("0.625", "62.5%").replace(",0.5\n", ",50%\n").encode(),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_table_is_read_however_it_was_written(how: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(WRITTEN[how])
    assert _read(path) == EXPECTED
    kinds = {tuple(type(value) for _, value in genotype) for genotype in _read(path)}
    assert all(types[1] is bool and types[0] is int for types in kinds)


def test_what_pandas_itself_writes_is_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=[*PATHS, "acc"])
    frame.to_csv(tmp_path / "with index.csv")
    frame.astype({PATHS[0]: float, PATHS[1]: object}).to_csv(tmp_path / "floats.csv", index=False)
    for path in tmp_path.iterdir():
        assert _read(path) == EXPECTED


def test_an_empty_cell_is_null_only_of_what_is_active(tmp_path: Path) -> None:
    """A stage without blocks has no activation; one with a block has one, or null."""
    stage = {"block": "conv", "out_channels": 4, "depth": {"range": [0, 1]}, "activation": {"choose": ["relu", None]}}
    space = nas.SearchSpace.from_dict({"assume": {"resolution": 8}, "stages": [stage], "head": {"block": "classifier"}})
    path = tmp_path / "table.csv"
    path.write_text("stages.0.depth,stages.0.activation,acc\n0,,1\n1,,2\n1,relu,3\n")
    depth, activation = "stages.0.depth", "stages.0.activation"
    assert _read(path, space) == {
        ((depth, 0),): 1,
        ((depth, 1), (activation, None)): 2,
        ((depth, 1), (activation, "relu")): 3,
    }
    path.write_text("stages.0.depth,stages.0.activation,acc\n0,relu,1\n")
    with pytest.raises(ConfigError, match="is not active"):
        _read(path, space)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("4,", "4.5,"), "csv:2: not a network of .*unknown option '4.5'. Known: 4, 8"),
        (("True", "maybe"), "unknown option 'maybe'. Known: False, True"),
        (("True", ""), "stages.0.bias' is missing"),
        (("0.5\n8", "0.5,9\n8"), r"csv:2: 6 cells for 5 columns"),
        (("bias", "Bias"), r"there is no column 'stages\.0\.bias'. Did you mean 'stages\.0\.Bias'"),
        (("bias", "activation"), r"has two columns 'stages\.0\.activation'"),
        ((",0.5\n8", ",1_0\n8"), "csv:2: acc must be a number, but got '1_0'"),
        ((",0.5\n8", ",\n8"), "csv:2: acc must be a number, but got ''"),
        ((",0.5\n8", ",inf\n8"), "acc must be a finite number, but got 'inf'"),
    ],
)
def test_what_means_no_network_or_no_number_is_refused(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    assert change[0] in _text()
    path.write_text(_text().replace(*change, 1))
    with pytest.raises(ConfigError, match=message):
        _read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4,True,relu,0,91%\n8,False,,0.5,92\n", r"csv:3: acc is '92', but .*csv:2 has '91%': with and without %"),
        ("4,True,relu,0,91\n\n8,False,,0.5,92%\n", r"csv:4: acc is '92%', but .*csv:2 has '91': with and without %"),
        ("4;True;relu;0;1,234\n8;False;;0.5;1.234\n", r"csv:3: acc is '1\.234', but .*csv:2 has '1,234': .*decimal"),
        ("sep=;\n4;True;relu;0;1.234\n8;False;;0,5;1,234\n", r"csv:4: acc is '1,234', but .*csv:3 has '1\.234'"),
    ],
)
def test_the_numbers_of_a_column_are_written_in_one_way(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    header = ";".join([*PATHS, "acc"]) if ";" in text else ",".join([*PATHS, "acc"])
    stated = "sep=;\n" if text.startswith("sep=") else ""
    path.write_text(f"{stated}{header}\n{text.removeprefix(stated)}")
    with pytest.raises(ConfigError, match=message):
        _read(path)


def test_a_decimal_comma_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{';'.join(PATHS)};acc\n4;True;relu;0;1,234\n8;False;;0.5;2\n")
    assert list(_read(path).values()) == [1.234, 2.0]


def test_repetitions_have_one_unit(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{','.join(PATHS)},acc,again\n4,True,relu,0,91%,92\n")
    with pytest.raises(ConfigError, match=r"again is '92', but .*'91%'"):
        read_table(SPACE, TableSettings(file=str(path), scores={"val_accuracy": ["acc", "again"]}))


IDLE = nas.SearchSpace.from_dict(
    {
        "name": "idle",
        "assume": {"channels": 1, "resolution": 8, "num_classes": 4},
        "let": {"w": {"choose": [4, 8]}, "v": {"choose": [1, 2]}},
        "stages": [{"block": "conv", "depth": "= 1 if w == 4 else v", "out_channels": "= w"}],
        "head": {"block": "classifier"},
    }
)
"""With w = 4 it does not matter what v is."""


def test_rows_of_one_network_agree_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("let.w,let.v,acc\n4,1,0.5\n8,1,0.7\n8,2,0.8\n4,2,0.5\n")
    table = read_table(IDLE, TableSettings(file=str(path), scores={"val_accuracy": "acc"}))
    assert len(table) == len(table.genotypes) == 3
    path.write_text("let.w,let.v,acc\n4,1,0.5\n8,1,0.7\n8,2,0.8\n\n4,2,0.6\n")
    with pytest.raises(ConfigError, match=r"lines 2 and 6 are one network.*different scores"):
        _read(path, IDLE)


def test_pipes_devices_and_folders_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zeros.csv").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.csv", tmp_path / "zeros.csv", tmp_path, Path("/dev/null")):
        with pytest.raises(ConfigError, match="is not a file, but a folder, a pipe or a device"):
            _read(path)
    with pytest.raises(ConfigError, match=r"cannot be read: .*No such file"):
        _read(tmp_path / "none.csv")
