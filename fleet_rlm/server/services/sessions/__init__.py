"""Sessions over REST: what the store lists, what the manifest says, and what only a kernel may change."""
