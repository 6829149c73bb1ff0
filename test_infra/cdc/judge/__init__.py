"""Whether every committed row is in the lake, exactly, and how late: cut, parity, lag, offsets, witness."""
