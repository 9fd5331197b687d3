"""How it recurses: FleetRLM on dspy.RLM, its sub-queries and its children, all on one scope.

Knows sandboxes, models through the metered face, and the log. Does not know agents, sessions or notebooks.
"""
