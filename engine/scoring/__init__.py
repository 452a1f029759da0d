"""Scores of captions by CLIP models: `python -m engine.score`. torch is imported when a model is opened."""
