"""What every HTTP server of this package stands on: its transport, its address, and the reading of requests."""
