"""What stays of a run: its folder, checkpoints, seals, a copy in a store."""
