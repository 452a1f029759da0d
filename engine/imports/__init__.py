"""Caption sets that others released, brought into a ledger: `python -m engine.import_captions`."""
