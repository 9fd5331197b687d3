"""The half of the sandbox that runs beside generated code.

These files use the standard library alone and import only each other, relatively: the host knows them as
`fleet_rlm.sandbox.guest`, the worker process loads the same folder under the name `fleet_guest` without importing
anything else of the package, and a remote backend can upload the folder as it is.
"""
