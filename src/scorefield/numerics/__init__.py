"""Numerical methods that know nothing of scores: random streams, traces, ODEs, parts side by side.

What may enter: a method that takes tensors and callables and gives tensors; it imports nothing of the library but
`_tensor`.
"""
