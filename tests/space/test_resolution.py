"""A space that chooses the resolution keeps the aspect of the data."""

from __future__ import annotations

import pytest

import nas

pytestmark = pytest.mark.usefixtures("as_written")

SPACE = nas.SearchSpace.from_dict(
    {
        "resolution": {"choose": [32, 64, 96]},
        "stages": [{"block": "conv", "out_channels": {"choose": [4, 8]}, "stride": 2}],
        "head": {"block": "classifier"},
    }
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # 24 : 64 is 3 : 8; the resolution is that of the longest side.
        ((3, 24, 64), {32: (3, 12, 32), 64: (3, 24, 64), 96: (3, 36, 96)}),
        ((3, 64, 24), {32: (3, 32, 12), 64: (3, 64, 24), 96: (3, 96, 36)}),
        ((1, 28, 28), {32: (1, 32, 32), 64: (1, 64, 64), 96: (1, 96, 96)}),
        ((2, 100), {32: (2, 32), 64: (2, 64), 96: (2, 96)}),
        ((1, 1, 1000), {32: (1, 1, 32), 64: (1, 1, 64), 96: (1, 1, 96)}),
    ],
)
def test_the_aspect_of_the_data_is_kept(data: tuple[int, ...], expected: dict[int, tuple[int, ...]]) -> None:
    space = SPACE.for_data(data, 4)
    for genotype in space.enumerate():
        arch = space.decode(genotype)
        assert arch.input_shape == expected[int(str(genotype["resolution"]))]
        assert space.encode(arch) == genotype
        own = nas.SearchSpace.from_dict({**SPACE.to_dict(), "resolution": "data"}).for_data(data, 4)
        base = own.decode({path: value for path, value in genotype.items() if path != "resolution"})
        assert nas.scale(base, resolution=max(arch.input_shape[1:])) == arch
