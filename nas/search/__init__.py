"""The search loop: one driver asks, checks, records and tells; workers evaluate."""
