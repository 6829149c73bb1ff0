"""The gateway over HTTP: its API, its server, a client with the same verbs."""
