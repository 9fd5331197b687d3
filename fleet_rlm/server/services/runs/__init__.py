"""Runs: started, watched, stopped, gone on with. The service knows stores and kernels; the handlers know the service."""
