"""What a search shows: before it starts, while it runs, and at its end."""
