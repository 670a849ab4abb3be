"""What happens inside a network: gradients, activations, receptive field, shifts and the shape of its loss."""
