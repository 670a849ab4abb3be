"""What networks learn: a file a task, with its loss, its scores and their directions, its head, its check of data."""
