"""What scores candidates: training, a table, cheap estimates without training."""
