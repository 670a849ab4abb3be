"""Scores of tasks are named where a task states them, and nowhere else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from nas.training.tasks.registry import DEFAULT, TASKS

PACKAGE = Path(__file__).resolve().parents[3] / "nas"
_MAY = ("training/tasks/", "evaluators/table/")
"""Tasks state their scores; a table names its columns itself."""


def test_nothing_but_the_tasks_names_the_default_objective() -> None:
    name = DEFAULT.objective
    named = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith(_MAY)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and name in node.value
    ]
    assert name == "val_accuracy"
    assert not named


def test_each_task_states_what_a_search_needs_without_torch() -> None:
    code = (
        "import sys, nas.training.tasks.registry as r; "
        "print([(t.name, t.objective, t.score(t.default).sign) for t in r.TASKS.values()]); "
        "assert not {'torch', 'numpy', 'sklearn', 'pytorch_lightning'} & sys.modules.keys()"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert ("classification", "val_accuracy", 1) in ast.literal_eval(said)
    for task in TASKS.values():
        assert {task.default, task.eight_bits, "loss"} <= {score.name for score in task.scores}
        assert task.score(task.eight_bits).larger_is_better
        assert "none" in task.balances
