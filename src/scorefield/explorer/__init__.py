"""The explorer: a page in the browser whose every number the library computes while one looks."""
