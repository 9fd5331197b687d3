"""The server and the model of the services' tests, for clients of them."""

from tests.server.services.conftest import model, server

__all__ = ["model", "server"]
