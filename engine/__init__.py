"""The data engine: noisy web image-text pairs in, verified MDS shards with tokenised captions out."""

__version__ = "0.1.0"
