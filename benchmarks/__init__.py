"""Side-by-side measurements; each is a module that prints a table: python -m benchmarks.NAME --help."""
