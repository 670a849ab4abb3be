"""Compound scaling: larger and smaller networks of the same kind, by a rule or for a budget.

`scale` changes depth, width and resolution of one network (`deepen`, `widen`, `nested` and `rounding` do its parts);
`rules` say how the three grow together and `proportions` whether they did after rounding; `solve` finds the network
that costs what is asked for (`counted_family`, `integer_search`); `family` makes and writes several sizes. `laws` fits
losses to sizes, and `study` trains families.
"""
