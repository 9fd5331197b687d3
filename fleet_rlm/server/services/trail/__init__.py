"""The audit trail over REST: read by those who may, of their own tenant; nothing here adds to it or changes it."""
