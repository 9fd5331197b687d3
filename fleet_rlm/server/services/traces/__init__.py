"""Feedback by the name older clients know it."""
