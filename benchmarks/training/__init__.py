"""Trains the same CLIP here and by open_clip's own trainer, in turns, and compares speed, loss and retrieval.

The same: architecture and initial weights (written once, loaded by both), images and captions (tar files, and
shards packed from them), batch, steps, AdamW, schedule, clipping, precision, augmentation
(RandomResizedCrop 0.9 to 1.0). Not the same: the order of the samples and the crops, which each draws its
own way.

    python -m benchmarks.training --help
"""
