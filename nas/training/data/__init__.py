"""Data sets of images, split once by seed and kept in memory where they fit."""
