"""Files of series: written by hand and read by hand, and what is said of files that are not right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.exporting.series_files import (
    SeriesError,
    SeriesReading,
    brought,
    mask_of,
    of_array,
    read_arrays,
    read_table,
    read_ts,
)

NAN = float("nan")

TS = """\
# two channels, of unequal length
@problemName Walks
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down

@data
1,2,3:4.5,?,-6e-1:up
-0.25,.5:7,8:down
1:2,3:up
"""


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_ts_is_read_as_it_is_written(tmp_path: Path) -> None:
    found = read_ts(_file(tmp_path, "W.ts", TS))
    assert found.labels == ["up", "down", "up"]
    assert found.lines == [11, 12, 13]
    assert found.name(1) == "W.ts:12"
    wanted = [[[1, 2, 3], [4.5, NAN, -0.6]], [[-0.25, 0.5], [7, 8]], [[1, NAN], [2, 3]]]
    for series, values in zip(found.series, wanted, strict=True):
        assert series.dtype == np.float32
        np.testing.assert_array_equal(series, np.array(values, dtype=np.float32))


def test_the_header_of_a_ts_may_say_little_and_in_any_case(tmp_path: Path) -> None:
    found = read_ts(_file(tmp_path, "a.ts", "@PROBLEMNAME x\n@ClassLabel False\n@DATA\n1,2\n3,4,5\n"))
    assert found.labels == []
    assert [series.tolist() for series in found.series] == [[[1, 2]], [[3, 4, 5]]]


TSV = "1\t0.5\t-1.25\t2e3\n-1\t3\t4\tNaN\n2.0\tnan\t6\t7\n"


def test_a_table_is_read_as_it_is_written(tmp_path: Path) -> None:
    found = read_table(_file(tmp_path, "T_TRAIN.tsv", TSV), labelled=True)
    assert found.labels == ["1", "-1", "2.0"]
    wanted = [[[0.5, -1.25, 2000]], [[3, 4]], [[NAN, 6, 7]]]  # NaN at the end is no part of a series, elsewhere it is
    for series, values in zip(found.series, wanted, strict=True):
        np.testing.assert_array_equal(series, np.array(values, dtype=np.float32))
    without = read_table(_file(tmp_path, "t.csv", "0.5,1\n\n2,3\r\n"), labelled=False)
    assert (without.labels, without.lines) == ([], [1, 3])
    assert [series.tolist() for series in without.series] == [[[0.5, 1]], [[2, 3]]]


@given(st.lists(st.lists(st.floats(-1e30, 1e30), min_size=3, max_size=3), min_size=1, max_size=5))
def test_numpy_reads_the_same_numbers(tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]]) -> None:
    path = tmp_path_factory.mktemp("table") / "x.tsv"
    path.write_text("\n".join("\t".join(["7", *map(str, row)]) for row in rows))
    theirs = np.loadtxt(path, delimiter="\t", ndmin=2)
    found = read_table(path, labelled=True)
    np.testing.assert_array_equal(np.concatenate(found.series), theirs[:, 1:].astype(np.float32))
    assert {*found.labels} == {"7"}


HEAD = "@problemName x\n@classLabel true a b\n"

BAD_TS = {
    "no header": ("1,2:a\n", "line 1 is '1,2:a', but before @data all lines begin with @"),
    "no data": (HEAD, "it has no @data"),
    "nothing in it": ("", "it has no @data"),
    "no series": (HEAD + "@data\n", "it has no series"),
    "unknown name": ("@univariat true\n@data\n1\n", "Did you mean @univariate?"),
    "no flag": ("@univariate maybe\n@data\n", "line 1: @univariate must be true or false, but is 'maybe'"),
    "no number": ("@dimensions two\n@data\n", "line 1: @dimensions must be a whole number from 1"),
    "times": ("@timeStamps true\n@data\n(0,1):a\n", "values with times are not read"),
    "numbers to learn": ("@targetLabel true\n@data\n1:2\n", "numbers are not learned of series"),
    "no class": (HEAD + "@data\n1,2\n", "line 4 must end with `:` and a class"),
    "empty class": (HEAD + "@data\n1,2:\n", "line 4 must end with `:` and a class"),
    "another class": (HEAD + "@data\n1,2:c\n", "line 4 has the class 'c', which @classLabel does not list: a, b"),
    "text": (HEAD + "@data\n1,2:a\n1,two:b\n", "line 5, value 2: 'two' must be a number"),
    "nothing between": (HEAD + "@data\n1,,2:a\n", "line 4, value 2: '' must be a number"),
    "a name of Python's": (HEAD + "@data\n1_0,2:a\n", "line 4, value 1: '1_0' must be a number"),
    "infinity": (HEAD + "@data\n1,Infinity:a\n", "line 4, value 2: 'Infinity' must be a number that is finite"),
    "beyond 32 bits": (HEAD + "@data\n1,1e39:a\n", "line 4 has 1e+39 at [1]: numbers must be finite"),
    "beyond 64 bits": (HEAD + "@data\n1,1e999:a\n", "line 4 has inf at [1]: numbers must be finite"),
    "ragged though promised": (
        HEAD + "@equalLength true\n@data\n1,2:a\n1,2,3:b\n",
        "line 6 has 3 steps, but the header promises series of 2",
    ),
    "another length": (
        HEAD + "@seriesLength 3\n@data\n1,2:a\n",
        "line 5 has 2 steps, but the header promises series of 3",
    ),
    "more dimensions": (HEAD + "@univariate true\n@data\n1:2:a\n", "line 5 has 2 dimensions, but there must be 1"),
    "fewer dimensions": (HEAD + "@dimensions 3\n@data\n1:2:a\n", "line 5 has 2 dimensions, but there must be 3"),
    "other dimensions": (HEAD + "@data\n1:2:a\n1:b\n", "line 5 has 1 dimensions, but there must be 2"),
    "nothing but gaps": (HEAD + "@data\n?,?:a\n", "line 4 has a series without any value"),
}


@pytest.mark.parametrize("case", BAD_TS)
def test_what_is_wrong_with_a_ts_is_said_with_its_line(case: str, tmp_path: Path) -> None:
    text, wanted = BAD_TS[case]
    with pytest.raises(SeriesError, match=re.escape(wanted)):
        read_ts(_file(tmp_path, "x.ts", text))


BAD_TABLES = {
    "ragged": ("1\t2\t3\n1\t2\n", "line 2 has 2 values, the first has 3"),
    "a head": ("class\tx1\tx2\n1\t2\t3\n", "line 1, value 1: 'x1' must be a number"),
    "commas": ("1,2,3\n", "line 1 has a series without any value"),
    "no class": ("\t2\t3\n", "line 1 begins with '', but must begin with the class"),
    "class is missing": ("NaN\t2\t3\n", "line 1 begins with 'NaN', but must begin with the class"),
    "nothing but gaps": ("1\tNaN\tNaN\n", "line 1 has a series without any value"),
    "nothing": ("\n\n", "it has no series"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_what_is_wrong_with_a_table_is_said_with_its_line(case: str, tmp_path: Path) -> None:
    text, wanted = BAD_TABLES[case]
    with pytest.raises(SeriesError, match=re.escape(wanted)):
        read_table(_file(tmp_path, "x.tsv", text), labelled=True)


@pytest.mark.parametrize("read", [read_ts, read_arrays], ids=["ts", "npz"])
def test_what_is_no_file_or_no_text_is_refused(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    with pytest.raises(SeriesError, match="No such file"):
        read(path)
    path.mkdir()
    with pytest.raises(SeriesError, match="a folder"):
        read(path)
    other = tmp_path / "y.ts"
    other.write_bytes(b"@problemName \xff\xfe\n")
    with pytest.raises(SeriesError, match=r"no text in UTF-8|[Cc]annot|pickle|Failed"):
        read(other)


def test_arrays_are_read_as_they_lie(tmp_path: Path) -> None:
    values = np.array([[[1, 2, NAN], [3, NAN, NAN]], [[NAN, 5, 6], [7, 8, 9]]])
    np.savez(tmp_path / "a.npz", x=values, y=[0, 1])
    found = read_arrays(tmp_path / "a.npz")
    # At the end no channel of the first has a value; what is missing before that stays.
    np.testing.assert_array_equal(found.series[0], np.array([[1, 2], [3, NAN]], dtype=np.float32))
    np.testing.assert_array_equal(found.series[1], values[1].astype(np.float32))
    assert found.name(0) == "a.npz:1"
    np.savez(tmp_path / "b.npz", only=np.array([[1, 2], [3, 4]], dtype=np.int16))
    assert [series.tolist() for series in read_arrays(tmp_path / "b.npz").series] == [[[1, 2]], [[3, 4]]]


class _Ran:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"a": np.zeros((2, 3)), "b": np.zeros(2)}, "must be called x"),
        ({"x": np.zeros(3)}, "must be (n, length) or (n, channels, length), but has the shape (3,)"),
        ({"x": np.zeros((2, 0))}, "has the shape (2, 0)"),
        ({"x": np.array([["a", "b"]])}, "must hold numbers"),
        ({"x": np.zeros((2, 3), dtype=complex)}, "must hold numbers"),
        ({"x": np.array([[1, np.inf]])}, "x[0] has inf at [0, 1]"),
        ({"x": np.full((2, 3), NAN)}, "x[0] has a series without any value"),
        ({"x": np.zeros((0, 3))}, "it has no series"),
    ],
)
def test_arrays_that_are_no_series_are_refused(arrays: dict[str, Any], wanted: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SeriesError, match=re.escape(wanted)):
        read_arrays(tmp_path / "a.npz")


def test_objects_are_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([[_Ran(), _Ran()]], dtype=object))
    with pytest.raises(SeriesError, match="pickle"):
        read_arrays(tmp_path / "a.npz")


def test_series_are_brought_to_a_length_and_the_mask_tells_what_is_there() -> None:
    series = of_array(np.array([[1, 2, 3, 4], [5, 6, NAN, NAN], [7, NAN, 9, NAN]]), "x")
    whole = brought(series, SeriesReading(1, 3, mask=True))
    np.testing.assert_array_equal(whole[:, 0], np.array([[1, 2, 3], [5, 6, NAN], [7, NAN, 9]], dtype=np.float32))
    assert mask_of(whole).tolist() == [[[1, 1, 1]], [[1, 1, 0]], [[1, 0, 1]]]
    both = np.array([[[1, NAN], [NAN, NAN]]], dtype=np.float32)
    assert mask_of(both).tolist() == [[[1, 0]]]
