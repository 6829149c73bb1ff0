"""A pipeline: its spec, its names, its connector, its topics, and where its lake comes from."""
