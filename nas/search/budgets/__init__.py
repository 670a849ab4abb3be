"""What gives better candidates more budget, and ends those that do not promise enough."""
