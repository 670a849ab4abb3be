"""Search spaces: the language, its files, and the genotypes of a space. Never loads torch."""

from nas.resources import space_names
from nas.space.matching import Genotype
from nas.space.space import SearchSpace, load_space

__all__ = ["Genotype", "SearchSpace", "load_space", "space_names"]
