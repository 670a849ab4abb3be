"""Initial weights of a network from those of a trained one."""
