"""A seeded workload that writes down what became of every operation."""
