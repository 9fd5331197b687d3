"""What survives: sessions, their memory and documents, and the store that records every run.

Knows the agent and everything below it; no notebook, no server and no terminal.
"""
