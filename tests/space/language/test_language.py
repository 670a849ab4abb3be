# ruff: noqa: E501  (a row of a table is a line)
"""Names, formulas, conditions, optional parts, branches, cells, nested spaces: against enumeration by hand."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nas
from nas.errors import ConfigError, SpaceError
from nas.space.tree.formula import formula

pytestmark = pytest.mark.usefixtures("as_written")

HEAD = {"block": "classifier"}


def _space(**parts: Any) -> nas.SearchSpace:
    return nas.SearchSpace.from_dict({"head": HEAD, "assume": {"resolution": 16, "num_classes": 4}, **parts})


def _all(space: nas.SearchSpace) -> list[tuple[dict[str, Any], nas.Architecture]]:
    """Every genotype with its network; sees that the number is right and that all are found again."""
    found = [(genotype, space.decode(genotype)) for genotype in space.enumerate()]
    assert len(found) == space.size() == len({tuple(sorted(g.items(), key=str)) for g, _ in found})
    for genotype, arch in found:
        assert space.decode(space.encode(arch)) == arch
        assert nas.Architecture.from_json(arch.to_json()) == arch
        assert set(genotype) <= set(space.decisions())
    return found


def _setting(arch: nas.Architecture, stage: int, name: str, block: int = 0) -> Any:
    return dict(arch.stages[stage].blocks[block].settings)[name]


def test_one_decision_in_several_places() -> None:
    space = _space(
        let={"width": {"choose": [8, 12]}, "twice": "= 2 * width"},
        stages=[{"block": "conv", "out_channels": "= width"}, {"block": "conv", "out_channels": "= twice + 4"}],
    )
    found = _all(space)
    assert [g for g, _ in found] == [{"let.width": 8}, {"let.width": 12}]
    assert [(_setting(a, 0, "out_channels"), _setting(a, 1, "out_channels")) for _, a in found] == [(8, 20), (12, 28)]
    for genotype, arch in found:
        assert space.encode(arch) == genotype


def test_a_choice_that_exists_under_a_condition_only() -> None:
    space = _space(
        let={"deep": {"choose": [True, False]}, "n": {"range": [1, 3]}},
        stages=[
            {
                "if": "= deep",
                "then": {
                    "block": "conv",
                    "depth": "= n",
                    "out_channels": 8,
                    "kernel": {"choose": [1, 3], "per": "block"},
                },
                "else": {"block": "conv", "out_channels": {"choose": [8, 16]}},
            }
        ],
    )
    # n copies with a kernel each: 2 + 4 + 8; otherwise two widths, whatever n is.
    found = _all(space)
    assert len(found) == (2 + 4 + 8) + 3 * 2
    for genotype, arch in found:
        blocks = arch.stages[0].blocks
        assert len(blocks) == (genotype["let.n"] if genotype["let.deep"] else 1)
        assert ("stages.0.else.out_channels" in genotype) != genotype["let.deep"]
        assert ("stages.0.then.blocks.0.kernel" in genotype) == genotype["let.deep"]


def test_a_condition_between_values() -> None:
    space = _space(
        let={"kind": {"choose": ["small", "large"]}},
        stages=[
            {
                "block": "conv",
                "out_channels": {
                    "if": "= kind == 'small'",
                    "then": {"choose": [4, 8]},
                    "else": {"choose": [16, 32, 64]},
                },
            }
        ],
    )
    assert len(_all(space)) == 5
    # Each side decides for itself, so that a decision has the same options wherever it is met.
    assert space.decisions()["stages.0.out_channels.then"].values == (4, 8)
    assert space.decisions()["stages.0.out_channels.else"].values == (16, 32, 64)
    with pytest.raises(SpaceError, match="must be one of"):
        space.decode({"let.kind": "small", "stages.0.out_channels.then": 64})
    rng = random.Random(0)
    study = nas.run_search(space, lambda arch, budget, seed: rng.random(), trials=5, seed=0)
    assert len({str(trial.genotype) for trial in study.trials}) == 5


def test_an_optional_part() -> None:
    space = _space(
        stages=[
            {"block": "conv", "out_channels": 8},
            {
                "block": "mbconv",
                "out_channels": 8,
                "optional": True,
                "depth": {"range": [1, 2]},
                "kernel": {"choose": [3, 5]},
            },
        ]
    )
    assert len(_all(space)) == 1 + 2 * 2


def test_a_logarithmic_range() -> None:
    space = _space(stages=[{"block": "conv", "out_channels": {"range": [4, 64], "factor": 2}}])
    assert [g["stages.0.out_channels"] for g, _ in _all(space)] == [4, 8, 16, 32, 64]


@pytest.mark.parametrize(
    ("span", "values"),
    [
        ({"range": [1, 8], "factor": 2}, [1, 2, 4, 8]),
        ({"range": [3, 3], "factor": 2}, [3]),
        ({"range": [3, 3]}, [3]),
        ({"range": [3, 9], "step": 3}, [3, 6, 9]),
        ({"range": [3, 4]}, [3, 4]),
    ],
)
def test_a_range_may_have_one_value_and_begin_at_1(span: dict[str, Any], values: list[int]) -> None:
    space = _space(stages=[{"block": "conv", "out_channels": span}])
    assert [dict(arch.stages[0].blocks[0].settings)["out_channels"] for _, arch in _all(space)] == values


def test_a_choice_of_whole_lists_of_blocks() -> None:
    space = _space(
        stages=[
            {
                "choose": {
                    "plain": [{"block": "conv", "out_channels": 8, "depth": {"choose": [1, 2]}}],
                    "mixed": [{"block": "max_pool"}, {"block": "conv", "out_channels": {"choose": [4, 8, 16]}}],
                }
            }
        ]
    )
    found = _all(space)
    assert len(found) == 2 + 3
    assert {"stages.0.choose": "mixed", "stages.0.mixed.1.out_channels": 4} in [g for g, _ in found]


def test_branches_each_decide_for_themselves() -> None:
    space = _space(
        stages=[
            {
                "block": "parallel",
                "branches": {
                    "count": {"choose": [1, 3]},
                    "each": {"block": "conv", "out_channels": {"choose": [4, 8]}},
                },
            }
        ]
    )
    found = _all(space)
    assert len(found) == 2 + 8
    for genotype, arch in found:
        assert nas.lower(arch).nodes[-3].shape[0] == sum(v for k, v in genotype.items() if k.endswith("out_channels"))


def test_copies_of_a_block_share_or_decide_alone_inside_their_branches() -> None:
    def inside(per: dict[str, str]) -> nas.SearchSpace:
        conv = {"block": "conv", "out_channels": 8, "kernel": {"choose": [1, 3, 5], **per}}
        return _space(
            stem={"block": "conv", "out_channels": 8},
            stages=[{"block": "parallel", "join": "add", "depth": 2, "branches": [[], [{**conv, "depth": 2}]]}],
        )

    assert len(_all(inside({}))) == 3
    assert len(_all(inside({"per": "block"}))) == 3**4


def test_a_cell_has_an_operation_on_every_edge() -> None:
    kinds = {"skip": {"block": "identity"}, "none": {"block": "zero"}, "conv": {"block": "conv", "out_channels": None}}
    cell = {"block": "cell", "nodes": 3, "edges": {"count": 3, "each": {"block": {"choose": kinds}}}}
    stage = {"block": "= cell", "depth": 2}
    space = _space(let={"cell": cell}, stem={"block": "conv", "out_channels": 8}, stages=[stage, stage])
    found = _all(space)
    assert len(found) == 3**3
    for genotype, arch in found:
        assert [len(stage.blocks) for stage in arch.stages] == [2, 2]
        convs = sum(value == "conv" for value in genotype.values())
        lowered = nas.lower(arch, simplified=False)
        assert sum(type(n.op).__name__ == "Conv" for n in lowered.nodes) == 1 + 4 * convs
        assert space.encode(arch) == genotype


def test_blocks_by_name() -> None:
    space = _space(
        let={"pair": [{"block": "conv", "out_channels": {"choose": [4, 8]}}, {"block": "max_pool"}]},
        stages=[{"blocks": ["= pair", {"block": "conv", "out_channels": 8}, "= pair"]}],
    )
    found = _all(space)
    assert len(found) == 2
    assert [block.kind for block in found[0][1].stages[0].blocks] == ["conv", "max_pool", "conv", "conv", "max_pool"]


def test_a_choice_of_descriptions() -> None:
    plain = {"stages": [{"block": "conv", "out_channels": {"choose": [4, 8]}}], "head": HEAD}
    named = {
        "let": {"w": {"choose": [4, 8, 12]}},
        "resolution": {"choose": [8, 16]},
        "stages": [{"block": "mbconv", "out_channels": "= w"}],
        "head": HEAD,
    }
    space = nas.SearchSpace.from_dict({"choose": {"a": plain, "b": named}, "assume": {"num_classes": 4}})
    found = _all(space)
    assert len(found) == 2 + 6
    assert {"network": "b", "b.let.w": 12, "b.resolution": 8} in [g for g, _ in found]
    with pytest.raises(SpaceError, match="network must be one of"):
        space.decode({"network": "c"})
    with pytest.raises(SpaceError, match="not active"):
        space.decode({"network": "a", "a.stages.0.out_channels": 4, "b.let.w": 4})


def test_included_spaces_take_other_values(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "let: {width: 8, depth: 1}\nstages: [{block: conv, depth: = depth, out_channels: = width}]\nhead: {block: classifier}\n"
    )
    (tmp_path / "wide.yaml").write_text("include: base.yaml\nwith: {width: 32, depth: {range: [1, 2]}}\n")
    wide = nas.load_space(tmp_path / "wide.yaml")
    assert [_setting(wide.decode(g), 0, "out_channels") for g in wide.enumerate()] == [32, 32]
    assert (
        nas.load_space(tmp_path / "base.yaml", width=12).decode({}).stages[0].blocks[0].to_dict()["out_channels"] == 12
    )
    with pytest.raises(SpaceError, match=r"no name 'depht' under let\. Did you mean 'depth'"):
        nas.load_space(tmp_path / "base.yaml", depht=3)


def test_limits_of_the_space_hold_in_a_search() -> None:
    space = _space(
        stages=[{"block": "conv", "out_channels": {"range": [4, 64], "step": 4}}], limits={"params": [200, 900]}
    )
    study = nas.run_search(
        space, lambda arch, *_: float(nas.cost_of(arch).params), trials=5, constraints={"params": 800}
    )
    done = [t for t in study.trials if t.state.value == "completed"]
    assert done
    assert all(t.cost is not None and 200 <= t.cost.params <= 800 for t in done)
    with pytest.raises(ConfigError, match="the lower bound 200 is over the upper bound 100"):
        nas.run_search(space, lambda *_: 0.0, trials=1, constraints={"params": 100})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"let": {"w": 8}, "stages": [{"block": "conv", "out_channels": "= width"}]}, "unknown name 'width'"),
        ({"let": {"w": "= v"}, "stages": []}, "unknown name 'v'"),
        (
            {"let": {"w": 0}, "stages": [{"block": "conv", "out_channels": "= w"}]},
            "out_channels must be a whole number >= 1",
        ),
        ({"let": {"w": 3}, "stages": [{"block": "conv", "out_channels": "= w / 2"}]}, "but got 1.5"),
        (
            {"let": {"w": 3}, "stages": [{"block": "conv", "out_channels": "= w // 0"}]},
            "division by zero|modulo by zero",
        ),
        (
            {"let": {"w": 3}, "stages": [{"block": "conv", "out_channels": "= __import__('os')"}]},
            "no function '__import__'",
        ),
        ({"let": {"w": 3}, "stages": [{"block": "conv", "out_channels": "= w.real"}]}, "not 'w.real'"),
        ({"let": {"w": 3}, "stages": [{"block": "conv", "out_channels": "= 9 ** 9"}]}, "not '9 \\*\\* 9'"),
        ({"let": {"w": 3}, "stages": [{"block": "conv", "out_channels": "= (w"}]}, "not an expression"),
        (
            {"let": {"c": {"block": "conv", "depth": 2, "out_channels": 8}}, "stages": []},
            "belongs where the block is used",
        ),
        ({"let": {"c": {"block": "conv", "out_channels": 8}}, "stages": [{"block": "= d"}]}, "unknown name 'd'"),
        ({"let": {"c": 8}, "stages": [{"block": "= c"}]}, "'c' stands for a value, but here a block is needed"),
        ({"stages": [{"block": "parallel", "branches": {"count": 2}}]}, "'each' is missing"),
        ({"stages": [{"block": "parallel", "branches": []}]}, "at least one entry"),
        ({"stages": [{"block": "conv", "out_channels": {"range": [3, 20], "factor": 2}}]}, "a high end that is met"),
        ({"stages": [{"block": "conv", "out_channels": 8, "optional": 3}]}, "optional is true or left out"),
        (
            {"stages": [{"if": "= 3", "then": {"block": "max_pool"}, "else": {"block": "max_pool"}}]},
            "true or false, but got 3",
        ),
        ({"stages": [{"if": "= True", "then": {"block": "max_pool"}}]}, "a condition needs 'else'"),
        ({"limits": {"parms": 3}, "stages": [{"block": "max_pool"}]}, "unknown metric 'parms'. Did you mean 'params'"),
    ],
    ids=[str(i) for i in range(19)],
)
def test_refusals(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        _space(**parts)


# Formulas against Python, on expressions that are made here.
NUMBERS = st.integers(0, 50)


@st.composite
def _expressions(draw: Any, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return str(draw(st.sampled_from(["a", "b"]) | NUMBERS.map(str)))
    left, right = draw(_expressions(depth - 1)), draw(_expressions(depth - 1))
    pattern = draw(
        st.sampled_from(
            ["({} + {})", "({} - {})", "({} * {})", "min({}, {})", "max({}, {})", "ceil({} / (1 + abs({})))"]
        )
    )
    return str(pattern.format(left, right).replace("abs", "max"))


@given(_expressions(), NUMBERS, NUMBERS)
def test_formulas_are_pythons(text: str, a: int, b: int) -> None:
    import math

    text = text.replace("max(", "max(0, ") if "ceil" in text else text
    # The oracle: a formula is a piece of Python, and these are written above.
    expected = eval(text, {"__builtins__": {}}, {"a": a, "b": b, "min": min, "max": max, "ceil": math.ceil})
    assert formula(f"= {text}").value({"a": a, "b": b}) == expected


def test_round_to_is_the_papers_rule() -> None:
    """Sandler et al.'s `make_divisible`, as a search over multiples: the nearest, unless it is below 90 %."""
    for value in [x / 4 for x in range(1, 2000)]:
        multiples = [8 * i for i in range(1, 100)]
        nearest = min(multiples, key=lambda m: (abs(m - value), -m))
        expected = nearest if nearest >= 0.9 * value else nearest + 8
        assert formula("= round_to(x, 8)").value({"x": value}) == expected


# Variation

VARIED = ["mbconv", "mixed", "mobilenet_v3", "nasbench201", "resnet", "vit"]


@pytest.mark.parametrize("name", VARIED)
def test_a_mutation_changes_what_was_asked_and_repairs_the_rest(name: str) -> None:
    space, rng = nas.load_space(name), random.Random(0)
    for seed in range(60):
        parent = space.sample(rng)
        child = space.mutate(parent, seed)
        assert child == space.mutate(parent, seed)
        space.decode(child)
        changed = [path for path in parent if path in child and child[path] != parent[path]]
        if set(child) == set(parent):
            assert len(changed) == 1
        assert changed
        assert (
            len(
                [
                    p
                    for p in space.mutate(parent, seed, decisions=3)
                    if space.mutate(parent, seed, decisions=3)[p] != parent.get(p)
                ]
            )
            >= 1
        )


@pytest.mark.parametrize("name", VARIED)
def test_a_child_takes_its_decisions_from_its_parents(name: str) -> None:
    space, rng = nas.load_space(name), random.Random(1)
    for seed in range(60):
        first, second = space.sample(rng), space.sample(rng)
        child = space.crossover(first, second, seed)
        assert child == space.crossover(first, second, seed)
        space.decode(child)
        assert all(
            value in [p[path] for p in (first, second) if path in p]
            for path, value in child.items()
            if path in first or path in second
        )
    assert space.crossover(first, first, 3) == first


def test_neighbours_are_one_for_each_other_option() -> None:
    space = nas.load_space("nasbench_macro")
    genotype = space.sample(5)
    found = list(space.neighbours(genotype))
    assert len(found) == 8 * 2
    assert all(sum(other[path] != genotype[path] for path in genotype) == 1 for other in found)
    assert len({tuple(other.items()) for other in found}) == 16


def test_networks_are_counted_once_each() -> None:
    """A sum does not mind the order of its branches: of 3 x 3 pairs 6 are different networks."""
    branch = {"block": "conv", "out_channels": 8, "kernel": {"choose": [1, 3, 5]}}
    space = _space(stages=[{"block": "parallel", "join": "add", "branches": [branch, branch]}])
    assert space.size() == 9
    assert len(space.networks()) == 6
    rng = random.Random(0)
    drawn = [space.decode(space.sample(rng, over="networks")).arch_id for _ in range(3000)]
    counts = [drawn.count(arch_id) for arch_id in set(drawn)]
    assert len(counts) == 6
    assert all(abs(count - 500) < 5 * (500 * 5 / 6) ** 0.5 for count in counts)
    with pytest.raises(SpaceError, match="networks are told apart up to 200,000 genotypes"):
        nas.load_space("mbconv").networks()


def test_enumeration_is_in_order_and_whole() -> None:
    space = nas.load_space("nasbench_macro")
    assert [tuple(g.values()) for g in itertools.islice(space.enumerate(), 3)] == [
        tuple(space.unrank(i).values()) for i in range(3)
    ]
    assert sum(1 for _ in space.enumerate()) == 3**8


def test_a_name_stands_for_the_size_of_the_data() -> None:
    values = {
        "assume": {"resolution": 40},
        "let": {"size": "data", "gamma": {"choose": [1.0, 1.5]}},
        "resolution": "= round(gamma * size)",
        "stages": [{"block": "conv", "out_channels": "= size"}],
        "head": {"block": "classifier"},
    }

    def sizes(space: nas.SearchSpace) -> list[tuple[int, ...]]:
        return [space.decode(genotype).input_shape for genotype in space.enumerate()]

    alone = nas.SearchSpace.from_dict(values)
    assert sizes(alone) == [(3, 40, 40), (3, 60, 60)]
    fitted = alone.for_data((1, 20, 30), 5)
    assert sizes(fitted) == [(1, 20, 30), (1, 30, 45)]
    assert fitted.to_dict()["let"]["size"] == "data"
    assert sizes(nas.SearchSpace.from_dict(fitted.to_dict()).for_data((1, 8), 5)) == [(1, 8), (1, 12)]
    for genotype in fitted.enumerate():
        assert fitted.encode(fitted.decode(genotype)) == genotype
    both = nas.SearchSpace.from_dict({"choose": {"a": values, "b": values}}).for_data((1, 16, 16), 5)
    assert sorted(sizes(both)) == [(1, 16, 16)] * 2 + [(1, 24, 24)] * 2
