"""Training: the loop, its checkpoints, the held-out losses, several processes, the folder of a run.

The loop is generic over an objective and names no class of model. What may enter: what every kind of data trains with.
"""
