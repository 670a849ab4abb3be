"""What docs/many-machines.md gives to be copied: manifests for Kubernetes and scripts for Slurm."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "many-machines.md").read_text()
TOKEN = {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "ray-token", "key": "token"}}}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    (block,) = _blocks("yaml")
    found = {one["metadata"]["name"]: one for one in yaml.safe_load_all(block)}
    assert [*found] == ["nas-head", "nas-search", "nas-workers"]
    return found


def _pod(job: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def test_workers_of_ray_are_an_indexed_job_that_reaches_the_search(manifests: dict[str, Any]) -> None:
    head, search, workers = manifests.values()
    assert (head["apiVersion"], head["kind"]) == ("v1", "Service")
    assert {(one["apiVersion"], one["kind"]) for one in (search, workers)} == {("batch/v1", "Job")}
    assert workers["spec"]["completionMode"] == "Indexed"
    assert workers["spec"]["completions"] == workers["spec"]["parallelism"] == workers["spec"]["maxFailedIndexes"]
    assert head["spec"]["selector"] == {"job-name": search["metadata"]["name"]}, "the label that a Job gives its pods"
    (container,) = _pod(workers)["containers"]
    assert f"--address={head['metadata']['name']}:6379" in container["command"]
    assert "--port=6379" in _pod(search)["containers"][0]["args"][0]
    assert (
        container["resources"]["limits"]["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"] == 1
    )


@pytest.mark.parametrize("name", ["nas-search", "nas-workers"])
def test_pods_ask_for_the_token_and_mount_what_they_name(name: str, manifests: dict[str, Any]) -> None:
    pod = _pod(manifests[name])
    (container,) = pod["containers"]
    assert pod["restartPolicy"] == "Never", "a Job takes no other but OnFailure"
    assert container["env"] == [{"name": "RAY_AUTH_MODE", "value": "token"}, TOKEN]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_scripts_are_shell(manifests: dict[str, Any]) -> None:
    scripts = [*_blocks("sh"), *_pod(manifests["nas-search"])["containers"][0]["args"]]
    assert len(scripts) >= 4
    for script in scripts:
        checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
