"""Held-out sets in the layouts that they are handed around in, as one stream of images."""
