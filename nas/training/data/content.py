"""Which split an image is in, by its content: adding, removing or duplicating an image moves no other.

The content of an image is its pixels. From their hash and the seed of the split follows a number from 0 to 1, as good
as drawn at random, and an image whose number is below the share of a split is in it. So images of equal content are in
one split, and the size of a split is binomial: about `share * n`, with a standard deviation of
`sqrt(share * (1 - share) * n)`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)


@lru_cache
def _header(shape: tuple[int, ...]) -> bytes:
    """Return what stands before the bytes of an image in what is hashed."""
    return f"{'x'.join(map(str, shape))}:".encode()


def digests_of(pixels: NDArray[np.uint8]) -> list[bytes]:
    """Return the digest of each image's content: the SHA-256 of its shape and its bytes.

    Args:
        pixels: of shape `(n, ...)`, where the shape of an image counts too: the same bytes in another shape are
            another image.
    """
    header = hashlib.sha256(_header(pixels.shape[1:]))
    size = int(np.prod(pixels.shape[1:]))
    data = np.ascontiguousarray(pixels).reshape(-1).data
    digests = []
    for start in range(0, len(pixels) * size, size):
        digest = header.copy()
        digest.update(data[start : start + size])
        digests.append(digest.digest())
    return digests


def digest_of(pixels: NDArray[np.uint8]) -> bytes:
    """Return the digest of the content of one image, as `digests_of` does."""
    digest = hashlib.sha256(_header(pixels.shape))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def chance(digest: bytes, split: str, seed: int) -> float:
    """Return the number from 0 to 1 of a content, which says whether it is in a split: where it is below the share."""
    drawn = hashlib.sha256(f"{seed}/{split}/".encode() + digest).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64


@dataclass(frozen=True)
class Assignment:
    """The splits of some images."""

    splits: tuple[str, ...]
    """Of each image."""
    moved: Mapping[bytes, str]
    """Contents that are in another split than their number says, since their class would have no image there, and
    which."""


def assign(digests: Sequence[bytes], labels: Sequence[int], shares: Mapping[str, float], seed: int) -> Assignment:
    """Return the splits of images.

    Each is in the first split whose share its number is below, else in the training split. Where a class has no image
    in a split, and more than one in another, one of those is moved; the training split gets one in any case. Only
    images that no other class has are moved.

    Args:
        digests: of the content of each image.
        labels: the class of each.
        shares: by split, without the training split, in order: a share of what the splits before it leave.
        seed: of the split.
    """
    places: dict[bytes, list[int]] = defaultdict(list)
    for place, digest in enumerate(digests):
        places[digest].append(place)
    found = {digest: _by_number(digest, shares, seed) for digest in places}
    classes = {digest: {labels[place] for place in same} for digest, same in places.items()}
    moved = _moves(found, classes, (TRAIN, *shares), seed)
    found |= moved
    return Assignment(tuple(found[digest] for digest in digests), moved)


def _by_number(digest: bytes, shares: Mapping[str, float], seed: int) -> str:
    return next((split for split, share in shares.items() if chance(digest, split, seed) < share), TRAIN)


def _moves(
    found: Mapping[bytes, str], classes: Mapping[bytes, set[int]], splits: Iterable[str], seed: int
) -> dict[bytes, str]:
    """Return the contents that are to be moved, so that no split is without a class, and where to.

    Of those that may be moved the one with the least number is: the first that a larger share would take.
    """
    of_class: dict[int, dict[str, list[bytes]]] = defaultdict(lambda: defaultdict(list))
    for digest, split in found.items():
        for label in classes[digest]:
            of_class[label][split].append(digest)
    moved: dict[bytes, str] = {}
    for held in of_class.values():
        for wanted in splits:
            spare = [] if held[wanted] else _spare(held, classes, last_too=wanted == TRAIN)
            if spare:
                chosen = min(spare, key=lambda digest: (chance(digest, wanted, seed), digest))
                moved[chosen] = wanted
                for digests in held.values():
                    if chosen in digests:
                        digests.remove(chosen)
                held[wanted].append(chosen)
    return moved


def _spare(held: Mapping[str, list[bytes]], classes: Mapping[bytes, set[int]], *, last_too: bool) -> list[bytes]:
    """Return what a class can give from one split to another: nothing that other classes have.

    Args:
        held: contents of the class by split.
        classes: of each content.
        last_too: where no split has two, the only one of a split too.
    """
    own = [[digest for digest in digests if len(classes[digest]) == 1] for digests in held.values() if len(digests) > 1]
    spare = [digest for digests in own for digest in digests]
    if not spare and last_too:
        spare = [digest for digests in held.values() for digest in digests if len(classes[digest]) == 1]
    return spare


def in_proportion(places: Iterable[int], digests: Sequence[bytes], labels: Sequence[int]) -> list[int]:
    """Return images in an order in which any first part holds the classes in their proportions.

    The order follows from the content alone, so that it is the same wherever the files are and whatever their names;
    a first part hardly changes where an image is added or removed.

    Args:
        places: of the images among all.
        digests: of the content of all.
        labels: of all.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for place in sorted(places, key=lambda place: (digests[place], place)):
        members[labels[place]].append(place)
    ranked = [
        ((rank + 0.5) / len(same), digests[place], label, place)
        for label, same in members.items()
        for rank, place in enumerate(same)
    ]
    return [place for *_, place in sorted(ranked)]


def first_part(labels: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """Return which images a part of an ordered split holds, in their order: the first ones, with each class among them.

    The first image of a class that has so few that its turn comes later is in place of the last of the others. So a
    smaller part is within a larger one, and a part that holds all classes anyway is just the first images. It has at
    least two images, and one of each class.

    Args:
        labels: of the images of the split, in the order of `in_proportion`.
        fraction: share of the split, above 0.
    """
    if fraction >= 1:
        return np.arange(len(labels))
    first_of_class = np.unique(labels, return_index=True)[1]
    others = np.delete(np.arange(len(labels)), first_of_class)
    size = max(2, len(first_of_class), round(fraction * len(labels)))
    return np.sort(np.concatenate([first_of_class, others])[:size])


def fingerprint(
    digests: Sequence[bytes], labels: Sequence[int], parts: Mapping[str, Iterable[int]], shape: Sequence[int]
) -> str:
    """Return a hash that is equal where the splits hold equal images with equal labels, in whatever order.

    Args:
        digests: of the content of all images.
        labels: of all.
        parts: images of each split, by their places.
        shape: that the images are brought to, `(channels, height, width)`.
    """
    whole = hashlib.sha256(f"{'x'.join(map(str, shape))} ".encode())
    for split, places in parts.items():
        held = sorted(digests[place] + int(labels[place]).to_bytes(4, "big") for place in places)
        whole.update(f"{split} {len(held)}:".encode() + b"".join(held))
    return whole.hexdigest()[:16]
