"""Search spaces: sets of networks from which genotypes are drawn, decoded, varied and examined. Never loads torch.

`nas.space.tree` is the tree of choices that a space is; `nas.space.language` reads it from YAML. The modules here use
both: `SearchSpace`, variation of genotypes, sampling within limits, and the explanation of limits.
"""

from nas.resources import space_names
from nas.space.space import SearchSpace, load_space
from nas.space.tree.genotype import Genotype

__all__ = ["Genotype", "SearchSpace", "load_space", "space_names"]
