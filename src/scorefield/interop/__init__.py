"""Models of other libraries here, and models of this one elsewhere: adapters, export, hub."""
