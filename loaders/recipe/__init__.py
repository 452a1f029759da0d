"""Recipes in YAML: read strictly, laid over with `key=value` words; the part of them that is about data."""
