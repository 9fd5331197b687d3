"""Who thinks: which model a name means, what each call costs, and the rule-based stand-in.

Knows models, keys, prices and windows. Does not know agents, sandboxes or sessions.
"""
