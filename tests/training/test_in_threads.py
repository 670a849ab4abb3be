"""That work by several threads gives what it gives by one."""

from __future__ import annotations

import threading

import pytest

from nas.training.data.in_threads import in_threads


@pytest.mark.parametrize("count", [0, 1, 2, 3, 65, 200])
@pytest.mark.parametrize("threads", [1, 2, 3, 100])
def test_results_are_in_order(count: int, threads: int) -> None:
    assert in_threads(lambda item: item * item, range(count), threads) == [item**2 for item in range(count)]


def test_as_many_work_at_once_as_there_may() -> None:
    together = threading.Barrier(3, timeout=20)
    assert in_threads(lambda _: together.wait() >= 0, range(3), 3) == [True] * 3


@pytest.mark.parametrize(("threads", "most"), [(2, 2), (1000, 8)])
def test_not_more_work_than_there_may(threads: int, most: int) -> None:
    found = in_threads(lambda _: threading.get_ident(), range(1000), threads)
    assert len(set(found)) <= most
    assert threading.get_ident() not in found


def test_one_is_the_one_that_asks() -> None:
    assert set(in_threads(lambda _: threading.get_ident(), range(100), 1)) == {threading.get_ident()}


def test_the_first_error_is_raised() -> None:
    def work(item: int) -> int:
        if item in (50, 70, 190):
            raise ValueError(f"item {item}")
        return item

    for threads in (1, 2, 5):
        with pytest.raises(ValueError, match="item 50"):
            in_threads(work, range(200), threads)
