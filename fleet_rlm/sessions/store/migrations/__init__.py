"""Alembic's revisions, oldest first; each is applied by `schema.py`, never at import."""
