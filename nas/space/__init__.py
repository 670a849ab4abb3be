"""Search spaces: the language, its files, and the genotypes of a space. Never loads torch."""

from nas.space.language.files import space_names
from nas.space.space import SearchSpace, load_space
from nas.space.tree.matching import Genotype

__all__ = ["Genotype", "SearchSpace", "load_space", "space_names"]
