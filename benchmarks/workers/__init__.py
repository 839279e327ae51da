"""One module per peer: `version()` and `make(item, variants) -> Task`, which may raise `Skip`."""
