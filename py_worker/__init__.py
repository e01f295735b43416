"""The PyTorch worker of tms: sequences, weights, steps, samples and paths; no knowledge of any method."""
