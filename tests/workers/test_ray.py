"""Ray alone: what it is loaded for, what it starts, and machines that go away."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nas
from nas.errors import ConfigError
from nas.evaluation import Budget
from nas.search.config import Config
from nas.workers.evaluating import Outcome, Task
from nas.workers.executors.choice import pool_of
from nas.workers.executors.settings import Evaluations, RaySettings
from tests.search import evaluators
from tests.workers import elsewhere
from tests.workers.ray_cluster import HAS_RAY, RAY, ROOT

ARCHITECTURE = nas.load_space("reference/squeezenet1_1").decode({})


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_the_extra_the_way_to_it_is_said(space: nas.SearchSpace) -> None:
    with pytest.raises(ConfigError, match=r"executor=ray needs Ray, .*: pip install 'nas\[ray\]'"):
        nas.run_search(space, evaluators.params, trials=1, executor="ray")


def test_ray_is_not_loaded_unless_it_is_asked_for() -> None:
    code = "import sys, nas.commands.search, nas.workers.executors.choice; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"executor": {"name": "rey"}}, "executor.name: unknown 'rey'. Did you mean 'ray'"),
        ({"executor": {"name": "ray", "gpus": 1.5}}, "executor.gpus must be a part of one GPU, or a whole number"),
        ({"executor": {"name": "ray", "cpus": 0}}, "executor.cpus"),
        ({"executor": {"name": "ray", "resources": {"big": "x"}}}, "executor.resources.big must be a number"),
        ({"executor": {"name": "ray", "modules": ["/no/such.py"]}}, "executor.modules: there is no /no/such.py"),
        ({"executor": {"name": "ray"}, "accelerator": "gpu"}, "say how many a trial takes, such as executor.gpus=1"),
        ({"executor": {"name": "ray"}, "search": {"worker_memory_mib": 9}}, "worker_memory_mib is for executor=local"),
    ],
)
def test_settings_that_do_not_hold(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.from_values({"space": "mbconv", **values})


def test_workers_of_a_cluster_are_not_counted_by_this_machine() -> None:
    assert Config.from_values({"space": "mbconv", "executor": {"name": "ray"}, "workers": 1000}).workers == 1000
    with pytest.raises(ConfigError, match="processes on this machine"):
        Config.from_values({"space": "mbconv", "workers": 1000})


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that has no room for trials, on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()  # that of other tests
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(address=made.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason=RAY[0].kwargs["reason"])
@pytest.mark.timeout(1500)
def test_a_trial_goes_on_elsewhere_when_its_machine_goes_away(cluster: Any, tmp_path: Path) -> None:
    first = cluster.add_node(num_cpus=1)
    state = tmp_path / "1.ckpt"
    evaluator = elsewhere.Slow(last=8, seconds=1.0)
    pool = pool_of(RaySettings(lease_seconds=8.0), Evaluations(evaluator), 0)
    second, outcomes = None, list[Outcome]()
    try:
        cluster.wait_for_nodes()
        time.sleep(1.5)
        assert pool.free == 1, "the room of the only machine"
        pool.submit(Task(1, ARCHITECTURE, Budget(checkpoint=str(state), keep_each_epoch=True), 1))
        while not outcomes:
            outcomes = pool.wait(0.5)
            if second is None and state.exists() and int(state.read_text()) >= 2:
                second = cluster.add_node(num_cpus=1)
                cluster.remove_node(first, allow_graceful=False)
    finally:
        pool.close()
    assert second is not None
    (outcome,) = outcomes
    assert outcome.evaluation is not None, outcome.reason
    assert outcome.evaluation.scores["val_accuracy"] == 8.0
    assert outcome.evaluation.scores["begun_at"] >= 2.0
