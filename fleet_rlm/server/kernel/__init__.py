"""What runs inside a kernel when the server works with it: sessions held open, runs started, events sent back.

The only part of the server's room that may import the agent, sessions and dspy, and the only one that the server's own
process never imports: `tests/server/test_app.py` holds it to that. The two know `server.wire` in common.
"""
