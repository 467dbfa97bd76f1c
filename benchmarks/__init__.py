"""Benchmarks for asv and pytest-benchmark, and scripts; see README.md. No module may need more to be imported than asv installs."""
