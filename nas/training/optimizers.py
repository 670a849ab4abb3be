"""The optimisers of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nas.training.recipe import Recipe


def optimizer_of(recipe: Recipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe for groups of parameters."""
    # One kernel for all parameters; Lightning does not clip gradients for those in mixed precision.
    fused = recipe.precision == "32-true"
    momentum = recipe.momentum
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, fused=fused)
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and momentum > 0
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=momentum, nesterov=nesterov, fused=fused)
    return TensorflowRMSprop(
        groups, lr=recipe.lr, decay=recipe.rmsprop_decay, eps=recipe.rmsprop_eps, momentum=momentum
    )


class TensorflowRMSprop(torch.optim.Optimizer):
    """RMSprop as TensorFlow has it, with which EfficientNet and MobileNetV3 were trained (Tan & Le 2019, section 5.2).

    Of gradients g with the weight decay added, at each step

        s <- decay s + (1 - decay) g^2        m <- momentum m + lr g / sqrt(s + eps)        w <- w - m

    with s = 1 at first. torch's own has eps beside the root, s = 0 at first, and multiplies by the learning rate behind
    the momentum; where eps is as large as theirs, that is another optimiser (timm has this one as `rmsproptf`).
    """

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        decay: float = 0.9,
        eps: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        """Make it.

        Args:
            params: parameters, or groups of them.
            lr: learning rate.
            decay: of the mean of squared gradients.
            eps: added to that under the root.
            momentum: of steps; 0 for none.
            weight_decay: share of each weight that is added to its gradient.
        """
        settings = {"lr": lr, "decay": decay, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, and return the loss of `closure` where there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if moved:
                self._step(group, moved)
        return loss

    def _step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "square_mean": torch.ones_like(parameter, memory_format=torch.preserve_format),
                    "step_mean": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }
        gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
        squares = [self.state[parameter]["square_mean"] for parameter in parameters]
        steps = [self.state[parameter]["step_mean"] for parameter in parameters]
        if group["weight_decay"]:
            gradients = [*torch._foreach_add(gradients, parameters, alpha=group["weight_decay"])]
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["decay"])
        roots = torch._foreach_add(squares, group["eps"])
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(steps, group["momentum"])
        torch._foreach_addcdiv_(steps, gradients, roots, value=group["lr"])
        torch._foreach_sub_(parameters, steps)
