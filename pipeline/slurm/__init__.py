"""``xlmr slurm``: the jobs of a run for Slurm, with their dependencies."""
