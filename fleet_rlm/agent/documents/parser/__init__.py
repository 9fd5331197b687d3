"""The half of document loading that runs in a limited process: one file per format, bytes in, text out.

Nothing here is imported by the host but its names: `fleet_rlm.agent.documents.parsing` starts `worker.py` and reads
what it wrote. A parser takes the open file and a function that takes text, and returns the metadata; it imports what
it needs inside, after the process has locked itself.
"""
