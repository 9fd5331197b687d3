"""What the server does, a folder per resource: handlers that parse and answer, services that know no tornado."""
