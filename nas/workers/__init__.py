"""Where evaluations run: in this process, in worker processes, on a simulated clock; elsewhere by executors."""
