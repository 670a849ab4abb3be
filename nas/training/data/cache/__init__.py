"""Pixels of folders of pictures, decoded once into files that all processes map. Never loads torch."""
