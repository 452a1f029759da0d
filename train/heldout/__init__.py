"""Held-out data: probes during training, retrieval, classification by texts."""
