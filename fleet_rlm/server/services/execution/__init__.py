"""The two WebSockets: `/ws/execution` to drive runs and `/ws/execution/events` to watch them."""
