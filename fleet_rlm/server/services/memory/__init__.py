"""The core memory of a session."""
