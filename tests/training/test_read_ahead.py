"""That the images of the next batch are read while one is used."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from nas.errors import DataError
from nas.training.data.read_ahead import read_in_turn
from nas.training.data.splits import Images, MemoryImages, SomeImages


@dataclass
class Decoded:
    """Images that are made when they are asked for, the one of place 5 never."""

    labels: Tensor = field(default_factory=lambda: torch.zeros(10, dtype=torch.int64))
    read_by: list[tuple[int, int]] = field(default_factory=list)
    """The first place and the thread of each reading."""
    second: threading.Event = field(default_factory=threading.Event)

    def read(self, indices: Tensor) -> Tensor:
        first = int(indices[0])
        if 5 in indices:
            raise DataError("image 5 is broken")
        self.read_by.append((first, threading.get_ident()))
        if first == 2:
            self.second.set()
        return indices.to(torch.uint8).view(-1, 1, 1, 1)


def _parts(count: int) -> list[Tensor]:
    return [torch.tensor([place, place + 1]) for place in range(0, count, 2)]


def test_the_next_part_is_read_while_one_is_used() -> None:
    images = Decoded()
    parts = read_in_turn(images, _parts(4))
    assert next(parts).flatten().tolist() == [0, 1]
    assert images.second.wait(20), "nobody has asked for it yet"
    assert [part.flatten().tolist() for part in parts] == [[2, 3]]
    assert [first for first, _ in images.read_by] == [0, 2], "each once, in order"
    assert all(thread != threading.get_ident() for _, thread in images.read_by)


def test_an_error_comes_in_the_place_of_its_part() -> None:
    parts = read_in_turn(Decoded(), _parts(8))
    assert next(parts).flatten().tolist() == [0, 1]
    assert next(parts).flatten().tolist() == [2, 3]
    with pytest.raises(DataError, match="image 5 is broken"):
        next(parts)


def test_whoever_stops_early_has_one_part_read_too_many_at_most() -> None:
    images = Decoded()
    parts = read_in_turn(images, _parts(4) * 50)
    next(parts)
    parts.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(images.read_by) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("part_of_others", [False, True])
def test_what_is_in_memory_is_taken_when_it_is_wanted(part_of_others: bool) -> None:
    images: Images = MemoryImages(torch.arange(10, dtype=torch.uint8).view(-1, 1, 1, 1), torch.zeros(10))
    if part_of_others:
        images = SomeImages(images, torch.arange(9, -1, -1))
    parts = read_in_turn(images, _parts(4))
    first = next(parts).flatten().tolist()
    assert first == ([9, 8] if part_of_others else [0, 1])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_no_parts_are_no_images() -> None:
    assert [*read_in_turn(Decoded(), [])] == []
