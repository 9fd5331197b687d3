"""How fast and how lean the engine is, beside every peer, in one run: `make bench` writes docs/benchmarks.md.

Not tests: nothing here passes or fails a build. One file per family of rows; each runs in a process of its own.
"""
