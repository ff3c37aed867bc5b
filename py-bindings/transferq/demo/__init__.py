"""A real post-training run over the store: GRPO on strips of handwritten digits. Run it: `python -m transferq.demo`."""
