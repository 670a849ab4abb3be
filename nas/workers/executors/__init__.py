"""Places where trials run beside worker processes of the driver: executors of Python, Ray."""
