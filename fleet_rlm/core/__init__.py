"""What happened: events, the tree folded from them, budgets, frames, reports and runs.

Imports nothing else of the package, and neither dspy, IPython nor pandas at import time: everything above may
import this room cheaply, and a log can be read where no model or kernel exists.
"""
