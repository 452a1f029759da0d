"""Which decoder is faster here, with how many threads: `python -m loaders.tune CONFIG`."""
