"""Names of our samplers by what they promise, for the suites over them. A new one is in all of them."""

from nas.search.samplers import OURS

ALL = [*OURS]
WITHIN_LIMITS = [name for name in ALL if name != "grid"]
"""Propose nothing over a limit that can be counted, and nothing twice; the grid proposes all there is, in its order."""
WITHOUT_A_SPACE = [name for name in WITHIN_LIMITS if name != "uniform"]
"""Serve any objective function; the others need to know what there is."""
