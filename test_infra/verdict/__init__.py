"""Evidence, verdict and report of a run: the record of a run is a folder, and the verdict is a pure function of it."""
