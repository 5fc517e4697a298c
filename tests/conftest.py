"""What holds for every test: one thread per process, and the same examples in every run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded; processes started by tests inherit it

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("scorefield", derandomize=True, deadline=None)
settings.load_profile("scorefield")
