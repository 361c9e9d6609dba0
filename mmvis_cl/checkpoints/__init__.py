"""Reading checkpoints without running code, and others' names of weights."""
