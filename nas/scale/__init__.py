"""From one network to a family: scaling rules, the coefficients behind them, laws, and what to train next.

`python -m nas.scale` needs a package of this name, and `nas.scale(arch, ...)` is a function of the public API: so this
package can be called, and is `nas.scale.scaling.scale` then.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from nas.scale.scaling import scale


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return scale(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
