"""Models in other systems' formats: a ModelCard and a CLIP, written and read."""
