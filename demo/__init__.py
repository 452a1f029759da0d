"""The demo: a small corpus made here, sharded, verified, trained on three ways and compared."""
