"""Imports go downwards only, and the core never loads a heavy package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "nas"

# From the bottom up; a module may import from its own layer and from those before it.
LAYERS = [
    [
        *("nas.starting", "nas.errors", "nas.equality", "nas.names", "nas.resources", "nas.settings", "nas.console"),
        *("nas.run_folder", "nas.checkpoint_files", "nas.seeds", "nas.line_log", "nas.resume", "nas.machine"),
        *("nas.statistics", "nas.pareto", "nas.meanwhile"),
        *("nas.held_out", "nas.to_type", "nas.json_output", "nas.own_code"),
    ],
    ["nas.scaling.laws"],
    ["nas.network"],
    ["nas.training.tasks"],
    ["nas.cost", "nas.evaluation", "nas.exporting"],
    ["nas.space.tree"],
    ["nas.space.language"],
    ["nas.space", "nas.workers"],
    ["nas.scaling", "nas.exporting.drawing", "nas.pytorch"],
    ["nas.latency"],
    ["nas.exporting.choice", "nas.exporting.folder"],
    ["nas.training"],
    ["nas.evaluators"],
    ["nas.search.budgets", "nas.search.samplers"],
    ["nas.search"],
    ["nas.exporting.export", "nas.exporting.found"],
    ["nas.search.reporting"],
    ["nas.records"],
    ["nas.advise", "nas.compare"],
    ["nas.scaling.study", "nas.finishing"],
    ["nas.cleaning", "nas.reports", "nas.run_list"],
    ["nas.commands"],
    # What `python -m` starts: a few lines each, which nothing imports.
    [
        *(
            "nas.__main__",
            "nas.advise.__main__",
            "nas.calibrate",
            "nas.compare.__main__",
            "nas.limits",
            "nas.profile",
            "nas.proxies",
        ),
        *("nas.scale", "nas.search.__main__", "nas.space.__main__", "nas.spaces"),
    ],
]

# Who may import a heavy package at all.
OWNERS = {
    "torch": ["nas.pytorch", "nas.latency.runtimes", "nas.training", "nas.evaluators.proxies"],
    "pytorch_lightning": ["nas.training"],
    "optuna": ["nas.search", "nas.scaling.study.coefficients"],
    "mlflow": ["nas.records"],
    "hydra": ["nas.commands.hydra_main"],
    "omegaconf": ["nas.commands.hydra_main"],
    "sklearn": ["nas.training.data", "nas.training.scores", "nas.training.tasks"],
    "rich": ["nas.commands.search", "nas.commands.search_model", "nas.search.reporting"],
    "scipy": [
        "nas.search.reporting.rungs",
        "nas.space.explain",
        "nas.latency",
        "nas.evaluators.proxies.costs",
        "nas.evaluators.proxies.diagnosis",
        "nas.scaling.laws",
        "nas.scaling.study",
        "nas.search.samplers",
        "nas.statistics",
        "nas.search.budgets",
        "nas.compare.spaces.difference",
        "nas.finishing.racing",
    ],
    "matplotlib": [
        "nas.compare.strategies.report",
        "nas.compare.spaces.report",
        "nas.reports.pictures",
        "nas.scaling.study",
        "nas.training.curves",
    ],
    "jinja2": ["nas.reports.render"],
    "markupsafe": ["nas.reports"],
    "onnx": ["nas.exporting", "nas.records.models"],
    "onnxruntime": ["nas.latency.runtimes", "nas.exporting.int8", "nas.exporting.predict", "nas.training.model_file"],
    "openvino": ["nas.latency.runtimes"],
    "executorch": ["nas.pytorch.executorch"],
    "safetensors": ["nas.exporting.folder", "nas.training"],
    "datasets": ["nas.training.data.hf_folder"],
    "mnist1d": ["nas.training.data.mnist1d"],
    "ray": ["nas.workers.executors.ray_executor", "nas.workers.executors.ray_worker"],
    "PIL": [
        "nas.reports.data_page",
        "nas.training.data",
        "nas.training.evaluation_page",
        "nas.exporting.class_maps",
        "nas.exporting.drawing",
        "nas.exporting.reading",
    ],
}


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from nas.network import ops` names a module, `from nas.network.ops import Shape` a value of one.
            names |= {f"{module}.{a.name}" if f"{module}.{a.name}" in MODULES else module for a in node.names}
    return names


def _layer(module: str) -> int:
    """Number of the layer whose longest prefix fits."""
    fits = [
        (len(prefix), number)
        for number, layer in enumerate(LAYERS)
        for prefix in layer
        if module == prefix or module.startswith(f"{prefix}.")
    ]
    assert fits, f"{module} belongs to no layer"
    return max(fits)[1]


@pytest.mark.parametrize("module", [name for name in MODULES if name != "nas"])
def test_imports_go_downwards(module: str) -> None:
    for imported in _imports(MODULES[module]):
        if imported.startswith("nas."):
            assert _layer(imported) <= _layer(module), f"{module} imports {imported}, which is above it"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_by_their_owners_only(module: str) -> None:
    for imported in _imports(MODULES[module]):
        owners = OWNERS.get(imported.split(".")[0])
        # The public API names what it loads lazily, under TYPE_CHECKING.
        if owners is not None:
            assert any(module == owner or module.startswith(f"{owner}.") for owner in owners), (module, imported)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import nas.space, nas.network, nas.cost", "torch pytorch_lightning optuna mlflow hydra sklearn rich"),
        ("import nas", "torch pytorch_lightning optuna mlflow hydra yaml numpy"),
        (
            "import nas; nas.cost_of(nas.load_space('mbconv').decode(nas.load_space('mbconv').sample(0)))",
            "torch optuna",
        ),
        ("import nas.commands.space, nas.profile", "torch optuna mlflow hydra PIL rich numpy"),
        ("import nas.scaling.family", "torch optuna mlflow hydra PIL rich numpy scipy"),
        ("import nas.scaling.laws.planner", "torch optuna mlflow hydra yaml nas.network nas.space"),
        ("import nas.commands.advise", "torch optuna mlflow hydra PIL rich numpy scipy"),
        ("import nas.commands.predict, nas.commands.export", "torch onnx onnxruntime PIL mlflow hydra"),
        ("import nas.commands.search", "torch pytorch_lightning mlflow sklearn"),
        ("import nas.search.__main__, nas.__main__", "torch optuna mlflow hydra yaml numpy rich nas.network"),
    ],
)
def test_what_loads_what(statement: str, absent: str) -> None:
    code = f"{statement}\nimport sys\nprint([name for name in {absent.split()!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_files_and_functions_stay_short() -> None:
    for module, path in MODULES.items():
        text = path.read_text()
        assert len(text.splitlines()) <= 400, f"{module} has over 400 lines: does it hold two concepts?"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                assert node.body[-1].end_lineno is not None
                # A long list of arguments with its explanation is no long function.
                lines = node.body[-1].end_lineno - node.body[0].lineno + 1
                doc = node.body[0]
                if ast.get_docstring(node) is not None:
                    assert doc.end_lineno is not None
                    lines -= doc.end_lineno - doc.lineno + 1
                assert lines <= 60, f"{module}.{node.name} has {lines} lines"
