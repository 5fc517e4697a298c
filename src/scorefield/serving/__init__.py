"""A trained model over HTTP: the answers of the command line, in JSON, for many clients at once."""
