"""Source databases, one room each: preflight, cut, rows as Arrow."""
