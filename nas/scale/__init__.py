"""From one network to a family: scaling rules, the coefficients behind them, laws, and what to train next.

`python -m nas.scale` needs a package of this name, and `nas.scale(arch, ...)` is a function of the public API: so this
package can be called, and is `nas.scale.scaling.scale` then.
"""

from __future__ import annotations

import sys
from types import ModuleType

from nas.scale.scaling import scale


class _Callable(ModuleType):
    __call__ = staticmethod(scale)  # without a frame of its own, so that a warning names the caller's line


sys.modules[__name__].__class__ = _Callable
