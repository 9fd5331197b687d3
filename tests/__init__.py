"""The tests, folder by folder as the package, and the twins of remote services they talk to."""
