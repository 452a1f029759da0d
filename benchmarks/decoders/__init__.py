"""DALI's pixels against the exact ones, over real images: `python -m benchmarks.decoders`."""
