"""Every Spark job is submitted, checked, cancelled, listed and logged here; its record and its states."""
