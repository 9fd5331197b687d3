"""Who you talk to: the ReAct agent, its tools, and the runtime that turns a task into a run.

Knows how to ask and delegate. Does not know notebooks, servers or terminals.
"""
