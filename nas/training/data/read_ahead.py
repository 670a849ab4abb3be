"""Reads the images of the next batch while one is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from torch import Tensor

from nas.training.data.splits import Images, JoinedImages, MemoryImages, SomeImages


def read_in_turn(images: Images, parts: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the pixels of parts of images, uint8 of shape `(len(part), channels, height, width)`.

    What is not in memory is read by a thread, one part ahead: decoding and waiting for a disk leave Python's lock, and
    a GPU computes meanwhile. An error comes in the place of its part.

    Args:
        images: of which.
        parts: int64; which of them, in the order in which they are wanted.
    """
    if not parts or _in_memory(images):
        yield from map(images.read, parts)
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as thread:
        coming = thread.submit(images.read, parts[0])
        for part in parts[1:]:
            pixels, coming = coming.result(), thread.submit(images.read, part)
            yield pixels
        yield coming.result()


def _in_memory(images: Images) -> bool:
    while isinstance(images, SomeImages):
        images = images.images
    if isinstance(images, JoinedImages):
        return _in_memory(images.first) and _in_memory(images.second)
    return isinstance(images, MemoryImages)
