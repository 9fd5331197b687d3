"""Feedback by the name older clients know it."""

from __future__ import annotations

from tests.server.serving import Serving


def test_feedback_on_a_trace_is_feedback_on_its_run(server: Serving) -> None:
    run = server.post("runs", message="Right?", session="traces", mode="direct")["run"]
    server.finished(run)
    kept = server.post("traces/feedback", trace_id=run, is_correct=False, expected_response="43")
    assert (kept["run"], kept["name"], kept["value"], kept["expected"]) == (run, "correct", False, "43")
    server.post("traces/feedback", 404, trace_id="never-was", is_correct=True)
