"""Kernels: where agents run. One of its own for each session, or a notebook's on request, spoken to apart from all
others. Knows the Jupyter server's kernel manager and the wire; nothing of runs, stores and handlers.
"""
