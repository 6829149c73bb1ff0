"""DCP manifests and CoreETL jobs: read, checked, run dry, run."""
