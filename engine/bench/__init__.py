"""Benchmarks: one measurement a file, each with `run(quick) -> dict`."""
