"""Loaders side by side: ours and its peers on the same bytes, the same work and the same cores.

python -m benchmarks.loader --images ../shared/data/imagenet_sample_orig --json loader.json
python -m benchmarks.loader.chart loader.json loader.svg

Work: bytes -> RandomResizedCrop(224, scale 0.9 to 1, bicubic, antialiased) -> uint8, or float32 normalised.
"""
