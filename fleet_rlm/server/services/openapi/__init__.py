"""The description of the API, served beside it."""
