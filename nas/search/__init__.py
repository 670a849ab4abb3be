"""The search: one driver asks for proposals, checks, records and reports their results; workers evaluate."""
