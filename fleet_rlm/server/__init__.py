"""The server face: a Jupyter server extension that drives runs over REST and WebSockets, for people it knows.

Knows tornado, the Jupyter server and who may do what. Must not know the notebook's magics or the terminal, and runs no
agent itself: runs live in kernels. Handlers parse, call a service and answer; services know no tornado.
"""
