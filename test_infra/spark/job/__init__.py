"""What is submitted to Spark, independent of where it runs."""
