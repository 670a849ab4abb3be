"""Costs of an operation measured on its torch code: for operations of users, which need not state them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from nas.cost.measured_costs import OperationCost
from nas.network.ops import Op, Shape
from nas.network.ops.base import Saved
from nas.network.user_operations import state_of
from nas.pytorch.modules import FUNCTIONS, call_of, is_module, module_of

Run = Callable[[Sequence[Tensor]], Tensor]
"""The code of an operation: from its inputs to its output."""


def measure_operation(op: Op, shapes: tuple[Shape, ...]) -> OperationCost | None:
    """Run an operation on the CPU and see what it does; torch's random state stays as it is.

    Args:
        op: the operation.
        shapes: of what it reads, without the batch.

    Returns:
        Its costs for one example; None where no torch code is registered for it, or that does not run.
    """
    if not _has_code(op):
        return None
    key = _Key(type(op), state_of(op), op)
    try:
        return _costs(key, shapes)
    except TypeError:  # it holds an array, or something else without a hash
        return _costs.__wrapped__(key, shapes)


@dataclass(frozen=True, slots=True)
class _Key:
    """An operation, equal to others of equal attributes, whatever its own equality is."""

    kind: type[Op]
    state: tuple[tuple[str, object], ...]
    op: Op = field(compare=False)


@lru_cache(maxsize=4096, typed=True)
def _costs(key: _Key, shapes: tuple[Shape, ...]) -> OperationCost | None:
    op = key.op
    for batch in (1, 2):  # a normalisation may need two examples; their sum is no less than what one takes
        try:
            with torch.random.fork_rng(devices=[]):
                return _measured(op, shapes, batch)
        except Exception:  # the code of a user, which may raise anything; it shows when the network is built
            continue
    return None


def _has_code(op: Op) -> bool:
    return any(function.dispatch(type(op)) is not function.dispatch(Op) for function in (module_of, call_of))


def _measured(op: Op, shapes: tuple[Shape, ...], batch: int) -> OperationCost:
    module = module_of(op, len(shapes[0]) - 1, False) if is_module(op) else None

    def run(part: nn.Module | None, inputs: Sequence[Tensor]) -> Tensor:
        output: Tensor = part(*inputs) if part is not None else call_of(op, *inputs, inplace=False, call=_call)
        return output

    inputs = [torch.rand(batch, *shape, requires_grad=True) for shape in shapes]
    state = [*module.parameters(), *module.buffers()] if module is not None else []
    saved, extra = _kept(lambda reads: run(module and module.train(), reads), inputs, state)
    in_inference = module and module.eval()
    return OperationCost(
        param_shapes=tuple(tuple(parameter.shape) for parameter in module.parameters()) if module is not None else (),
        buffer_bytes=_buffer_bytes(module),
        macs=-(-_macs(lambda reads, part: run(part, reads), inputs, in_inference) // batch),
        saved=saved,
        saved_extra=extra,
        workspace=_workspace(lambda reads: run(in_inference, reads), inputs, state),
    )


def _call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
    """Make a call at once that `nas.pytorch.build` writes as code."""
    if isinstance(function, str) and function not in FUNCTIONS:
        return getattr(args[0], function)(*args[1:], **(kwargs or {}))
    return FUNCTIONS.get(function, function)(*args, **(kwargs or {}))


def _buffer_bytes(module: nn.Module | None) -> int:
    if module is None:
        return 0
    learned = {name for name, _ in module.named_parameters()}
    return sum(
        value.numel() * value.element_size() for name, value in module.state_dict().items() if name not in learned
    )


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _kept(run: Run, inputs: Sequence[Tensor], state: Sequence[Tensor]) -> tuple[tuple[Saved, ...], int]:
    """What autograd keeps for the backward pass: which inputs, whether the output, and bytes beside those."""
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run(inputs)
    for tensor in state:
        kept.pop(_storage(tensor), None)
    read = [kept.pop(_storage(tensor), None) is not None for tensor in inputs]
    reads_output = kept.pop(_storage(output), None) is not None
    saved: list[Saved] = ["inputs"] if any(read[1:]) else ["input"] if read[0] else []
    if reads_output:
        saved.append("output")
    return tuple(saved), sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _macs(run: Callable[[Sequence[Tensor], nn.Module | None], Tensor], inputs: Sequence[Tensor], part: Any) -> int:
    """Multiply-adds as torch counts them; where the code runs on the meta device, there, where all attention counts."""
    for device in ("meta", "cpu"):
        try:
            moved = deepcopy(part).to(device) if part is not None else None
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                run([tensor.detach().to(device) for tensor in inputs], moved)
            return int(counter.get_total_flops()) // 2
        except (NotImplementedError, RuntimeError):  # code that cannot run on the meta device
            if device == "cpu":
                raise
    raise AssertionError("the last device returns or raises")


class _Peak(TorchDispatchMode):
    """Follows how many bytes new tensors take at one time."""

    def __init__(self, existing: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self._existing = {_storage(tensor) for tensor in existing}
        self._holders: dict[int, int] = {}
        self._held = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and _storage(tensor) not in self._existing:
                key, size = _storage(tensor), tensor.untyped_storage().nbytes()
                self._held += 0 if key in self._holders else size
                self._holders[key] = self._holders.get(key, 0) + 1
                weakref.finalize(tensor, self._release, key, size)
        self.bytes = max(self.bytes, self._held)
        return result

    def _release(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self._held -= size


def _workspace(run: Run, inputs: Sequence[Tensor], state: Sequence[Tensor]) -> int:
    existing = [*inputs, *state]
    with torch.no_grad(), _Peak(existing) as peak:
        output = run(inputs)
    output_bytes: int = 0 if _storage(output) in map(_storage, existing) else output.untyped_storage().nbytes()
    peak_bytes: int = peak.bytes
    return max(0, peak_bytes - output_bytes)
