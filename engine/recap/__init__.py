"""Recaptioning: samples in, ledger rows out, every request accounted for."""
