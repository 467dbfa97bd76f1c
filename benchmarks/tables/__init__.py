"""The parts of `benchmarks/tabular.py`.

`data_sets` declares the tables, `contestants` who fits them, `contest` runs and records, `scores` compares, `report` and `picture`
show.
"""
