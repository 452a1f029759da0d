"""From a source to a finished dataset: plan, pack units, remove duplicates, finish; resumable."""
