"""Change events as plain values: topics, rows, beats and the ledger. Nothing here does I/O."""
