"""What runs inside a driver, and how its process begins."""
