"""Loaders: caption policy, order, download and verification, and whole batches decoded natively.

Built on MosaicML Streaming (order, stores, resumption) and `engine.native` (memory-mapped shards, decoding).
"""
