"""Gates: asset checks whose failure fails the run."""
