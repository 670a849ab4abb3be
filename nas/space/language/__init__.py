"""The language of space files: finding and reading YAML, checking every word of it, and making the tree of a space."""
