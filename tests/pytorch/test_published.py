"""Generated modules against the hand-written networks of `published.py`, with copied weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import nas
from tests.pytorch.published import PUBLISHED


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters and statistics by the order of the layers, which both write down as the data go."""

    def layers(module: nn.Module) -> list[nn.Module]:
        return [part for part in module.modules() if part._parameters]

    def kind(module: nn.Module) -> tuple[str, ...]:
        return tuple(str(tuple(p.shape)) for p in module.parameters(recurse=False))

    left = layers(target)
    for layer in layers(source):
        # Of layers of equal shape the first that is left; those of other shapes may be declared in another order.
        index = next(i for i, other in enumerate(left) if sorted(kind(other)) == sorted(kind(layer)))
        other = left.pop(index)
        pairs = [*zip(layer.parameters(recurse=False), other.parameters(recurse=False), strict=True)]
        buffers = [*zip(layer.buffers(recurse=False), other.buffers(recurse=False), strict=True)]
        for mine, theirs in (*pairs, *buffers):
            theirs.data.copy_(mine.data)
    assert not left


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_values_are_those_of_the_published_network(name: str) -> None:
    torch.manual_seed(0)
    ours = nas.build(nas.load_space(f"reference/{name}").decode({}))
    theirs = PUBLISHED[name]()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    # Statistics and shifts that are not the ones every layer begins with.
    for part in ours.modules():
        for key, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None and tensor.dim() == 1 and key in ("weight", "bias", "running_mean"):
                tensor.data += 0.1 * torch.randn_like(tensor)
            if tensor is not None and key == "running_var":
                tensor.data *= 1 + torch.rand_like(tensor)
            if tensor is not None and tensor.dim() == 3:
                tensor.data += 0.1 * torch.randn_like(tensor)
    copy_weights(ours, theirs)
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        a, b = ours.eval()(x), theirs.eval()(x)
    assert float((a - b).abs().max()) < 1e-5
