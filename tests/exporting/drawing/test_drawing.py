"""Pictures of networks: well-formed, whole, and with the numbers of the network on them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

import nas
from nas.errors import ConfigError
from nas.exporting.drawing import draw, to_dot, to_svg
from nas.exporting.drawing.layout import picture, short

NAMES = [
    "reference/resnet18",
    "reference/googlenet",
    "reference/unet",
    "reference/vit_b_16",
    "reference/fcn1d",
    "mixed",
]


def _arch(name: str) -> nas.Architecture:
    space = nas.load_space(name)
    return space.decode(space.sample(0))


@pytest.mark.parametrize("name", NAMES)
def test_every_block_and_shape_is_in_the_svg(name: str) -> None:
    arch = _arch(name)
    texts = [text.text or "" for text in ET.fromstring(to_svg(arch)).iter("{http://www.w3.org/2000/svg}text")]
    kinds = {block.kind for _, section in arch.sections() for block in section.blocks}
    assert kinds <= {text.split("  x")[0] for text in texts}
    assert "x".join(map(str, arch.input_shape)) in texts
    assert any("x".join(map(str, shape)) in text for shape in nas.lower(arch).out_shapes for text in texts)
    assert any(text.startswith(f"{short(nas.cost_of(arch).params)} params") for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_copies_are_counted(name: str) -> None:
    arch = _arch(name)
    boxes = picture(arch, "").boxes
    counted = sum(int(box.lines[0].partition("  x")[2] or 1) for box in boxes)
    assert counted == sum(len(section.blocks) for _, section in arch.sections())


def test_blocks_made_of_blocks_show_what_is_inside() -> None:
    text = to_svg(_arch("reference/unet"))
    assert "branches.1: max_pool 2 &gt; conv 3 to 128 &gt; conv 3 to 128 &gt; parallel" in text
    assert "then: conv 3 to 512 &gt; conv 3 to 512 &gt; up_conv 2 to 256" in text
    space = nas.load_space("nasbench201")
    genotype = {f"let.cell.edges.{i}.block": kind for i, kind in enumerate(["none", "skip", "conv_3x3", *["none"] * 3])}
    lines = picture(space.decode(genotype), "").boxes[1].lines
    assert [line for line in lines if line.startswith("edges")][:3] == [
        "edges.0: zero",
        "edges.1: identity",
        "edges.2: conv 3",
    ]


def test_what_a_block_is_known_by_is_shown_also_where_it_is_the_default() -> None:
    space = nas.SearchSpace.from_dict(
        {"stages": [{"block": "mbconv", "out_channels": 56, "se_ratio": 0}], "head": {"block": "classifier"}}
    )
    lines = ", ".join(picture(space.decode({}), "").boxes[0].lines)
    assert "out_channels 56, kernel 3" in lines
    assert "expand_ratio 6" in lines
    assert "se_" not in lines


@pytest.mark.parametrize("name", NAMES)
def test_boxes_do_not_lie_on_each_other_and_stay_inside(name: str) -> None:
    found = picture(_arch(name), "title")
    for i, a in enumerate(found.boxes):
        assert a.x >= 0
        assert a.x + a.width <= found.width
        assert a.y + a.height <= found.height
        for b in found.boxes[i + 1 :]:
            assert a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y


def test_files(tmp_path: Path) -> None:
    arch = _arch("reference/resnet18")
    ET.parse(draw(arch, tmp_path / "a.svg"))
    with Image.open(draw(arch, tmp_path / "a.png")) as image:
        assert image.width > 500
        assert len(image.getcolors(1_000_000) or []) > 10
    text = draw(arch, tmp_path / "a.dot").read_text()
    assert text.startswith("digraph")
    assert text.count("{") == text.count("}")
    # A chain: one edge for each box, and one to the output.
    assert text.count("->") == len(picture(arch, "").boxes) + 1
    with pytest.raises(ConfigError, match=r"ends in \.svg, \.png or \.dot"):
        draw(arch, tmp_path / "a.pdf")
    with pytest.raises(ConfigError, match="cannot be written"):
        draw(arch, tmp_path / "missing" / "a.svg")


def test_titles_cannot_break_out() -> None:
    arch = _arch("reference/resnet18")
    ET.fromstring(to_svg(arch, title="<b>&\"'"))
    assert "\"a 'b' c\"" in to_dot(arch, title='a "b" c')
