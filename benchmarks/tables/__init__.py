"""The benchmark of tables: the problems, the peers of each part, the measures and the report."""
