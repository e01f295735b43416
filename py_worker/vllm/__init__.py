"""A sampler on vLLM: holds weights to be asked, trains nothing."""
