"""Simulation-based inference on eight tasks with exact references, beside peers."""
