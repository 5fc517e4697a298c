"""Markov chains for a static score or an energy: Langevin, unadjusted and Metropolis-adjusted, with diagnostics.

What may enter: a sampler whose step depends on the state (an acceptance, an adapted step); one that is a table of
coefficients is a plan and belongs to `plans`.
"""
