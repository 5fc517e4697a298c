"""scorefield beside azula, k-diffusion and diffusers, on problems whose answers are exact. See `benchmarks/run.py`."""
