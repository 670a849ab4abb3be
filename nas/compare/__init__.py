"""Whether a difference is more than chance: between search strategies, and between spaces."""
