"""One file a command: it composes what the packages below offer."""
