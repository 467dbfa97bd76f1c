"""What training by MPI ranks costs, measured here and simulated for clusters; `python -m benchmarks.ranks`."""
