"""Numerical methods that know nothing of scores: random streams, traces of Jacobians, adaptive ODE solving.

What may enter: a method that takes tensors and callables and gives tensors; it imports nothing of the library but
`_tensor`.
"""
