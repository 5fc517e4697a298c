"""Is a posterior right? Simulations whose truth is known say so; and what a posterior at one observation predicts.

What may enter: a test that posterior draws pass at its nominal rate if they are right, with what it finds in words. It
takes the posterior as a callable `draws(x (m, ...), n, seed) -> (m, n, d)` and knows nothing of how that was made.
"""
