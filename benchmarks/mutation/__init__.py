"""How many small mutations of the core its tests catch."""
