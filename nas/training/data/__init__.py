"""Data sets of images, split once by content and seed, and kept in memory where they fit."""
