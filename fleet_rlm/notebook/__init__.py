"""The kernel face: the `%%fleet` and `%fleet` magics, the live widget and the static output of a run.

It parses what the user wrote, calls `fleet_rlm.agent.runtime`, and shows what the run's log says. It must not know how
an answer is found, and it never imports the other faces (`server`, `cli`).
"""
