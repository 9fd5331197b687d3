"""The terminal face: `fleet`, also called `fleet-rlm`.

Parses, starts a run, shows it and its report. Does not know notebooks or servers.
"""
