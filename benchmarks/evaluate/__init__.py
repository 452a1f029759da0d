"""Evaluation beside CLIP_benchmark's own code, from files to figures: `python -m benchmarks.evaluate`."""
