"""What the judging functions of `cdc` found out, as evidence."""
