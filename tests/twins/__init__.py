"""Stand-ins for remote services: real servers on the loopback interface, driven by the real clients."""
