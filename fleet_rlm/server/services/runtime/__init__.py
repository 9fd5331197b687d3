"""How this server runs: its settings, its status, and real checks of its model and sandbox."""
