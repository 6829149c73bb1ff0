"""DCP manifests and CoreETL: read, checked, tried without writing a row, run."""
