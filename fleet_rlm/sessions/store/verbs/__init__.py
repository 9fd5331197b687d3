"""What can be asked of the store, one file per kind of thing.

Each verb is a coroutine with `a` in front, which may be awaited on any loop, and a blocking one without.
"""
