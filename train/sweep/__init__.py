"""Many runs of one recipe, row by row and seed by seed, and the table they make."""
