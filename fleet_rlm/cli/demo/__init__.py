"""The demo: three questions over data that is on every machine or made from a seed, and nothing downloaded.

The data is made here; the answers are found by the engine, never here.
"""
