"""The tree of choices that a space is: its nodes, and how genotypes are counted, ranked, decoded and found again.

It knows nothing of YAML: `nas.space.language` reads files and makes the tree.
"""
