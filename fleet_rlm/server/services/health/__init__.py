"""Whether the server is alive, whether it can answer questions, and who is asking."""
