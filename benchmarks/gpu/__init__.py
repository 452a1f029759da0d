"""Everything that needs a GPU, measured by one command within a time limit: `python -m benchmarks.gpu`.

Pixels of both decoders against Pillow's, loader throughput beside torchvision's CUDA decoder, training beside
a constant batch on the device (the ceiling) and open_clip's trainer. Each measurement is its own process: one
that fails, or lacks a package, is recorded with its reason, and the rest goes on.
"""
