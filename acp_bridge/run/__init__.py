"""One run, from its settings to its receipt: prepared, started, recorded, metered, settled."""
