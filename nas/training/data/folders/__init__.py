"""Folders of pictures: which files are pictures of which class and split, and which of them cannot be used."""
