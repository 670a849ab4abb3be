"""Training that begins with the weights of another training: reading them, and what of the network learns when."""
