"""Runs: started, watched, stopped, gone on with; the service knows kernels and the store, handlers the service."""
