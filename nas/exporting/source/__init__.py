"""A graph as a Python file in plain PyTorch, written without torch.

`operations` says how each operation stands there; `tree` sorts the operations into modules by their names; `structure`
has what a module computes, and makes one of modules that differ in optional parts; `parameters` finds what the
constructor of a class takes; `classes` does this for a whole network; `naming`, `forward`, `writer` and `layout` write
it down; `source` is the way in.
"""

from nas.exporting.source.source import Source, architecture_source, to_source

__all__ = ["Source", "architecture_source", "to_source"]
