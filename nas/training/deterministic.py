"""Trainings that use only algorithms which give the same numbers each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cudnn

from nas.errors import TrainingError

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_SAME_EACH_TIME = (":4096:8", ":16:8")
"""Values of it with which cuBLAS gives the same numbers each time, as NVIDIA's manual of cuBLAS says."""
_NONE_THERE = "does not have a deterministic implementation"
"""What torch says of an operation."""


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Have torch use only algorithms that give the same numbers each time, where that is wanted, and put it back.

    cuBLAS reads its variable once, when a process first multiplies on a GPU: a process that has done so before is
    deterministic only if it was set then.

    Raises:
        TrainingError: an operation of the network has no such algorithm on this device.
    """
    if not wanted:
        yield
        return
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags, variable = (cudnn.benchmark, cudnn.deterministic), os.environ.get(_CUBLAS)
    try:
        if variable not in _SAME_EACH_TIME:
            os.environ[_CUBLAS] = _SAME_EACH_TIME[0]
        torch.use_deterministic_algorithms(True)
        cudnn.benchmark, cudnn.deterministic = False, True
        yield
    except RuntimeError as error:
        if _NONE_THERE not in str(error):
            raise
        operation = str(error).split(_NONE_THERE, 1)[0].strip()
        raise TrainingError(
            f"train.deterministic=true: {operation} {_NONE_THERE} on this device; train on another one, or without it"
        ) from error
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warns)
        cudnn.benchmark, cudnn.deterministic = flags
        if variable is None:
            os.environ.pop(_CUBLAS, None)
        else:
            os.environ[_CUBLAS] = variable
