"""This project's own instances: YAML for stack, pipelines and suites; the schedule and the sensors."""
