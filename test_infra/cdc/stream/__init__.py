"""The stream: the Spark application that turns a pipeline's topics into change log and mirror, and how it is driven."""
