"""Tables of the lake: their versions, what each contains, the schemas of change log, mirror and quarantine."""
