"""Training: configuration, models, loss, callbacks, retrieval evaluation. See train/README.md."""
