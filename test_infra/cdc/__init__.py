"""Sources, connector, stream, lag, parity and load: what happens between two databases."""
