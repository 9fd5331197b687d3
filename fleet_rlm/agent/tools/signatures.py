"""The typed analysts, each as the signature a model fills: what it is given, what it must give back.

Every one has a `question`; those over a document have its text, or a report on it, as `document`.
"""

from __future__ import annotations

from typing import Literal

import dspy


class AnalyseDocument(dspy.Signature):
    """Answer the question from the document. Findings are single facts with their place; say what you used."""

    question: str = dspy.InputField()
    document: str = dspy.InputField()
    answer: str = dspy.OutputField()
    findings: list[str] = dspy.OutputField()
    sections_examined: list[str] = dspy.OutputField()


class SummariseDocument(dspy.Signature):
    """Summarise the document with the question in mind. Say nothing that does not stand in it."""

    question: str = dspy.InputField()
    document: str = dspy.InputField()
    summary: str = dspy.OutputField()
    key_points: list[str] = dspy.OutputField()
    left_out: str = dspy.OutputField(desc="what of the document the summary does not cover")


class ExtractFromLogs(dspy.Signature):
    """Find the log entries the question asks for. Matches are whole lines as they stand; patterns say what repeats."""

    question: str = dspy.InputField()
    document: str = dspy.InputField()
    matches: list[str] = dspy.OutputField()
    patterns: list[str] = dspy.OutputField()
    time_range: str = dspy.OutputField(desc="first and last time stamp of the matches")


class GroundedAnswer(dspy.Signature):
    """Answer the question from the document alone. Each citation is copied from it letter by letter, long enough to be
    found, without quotation marks around it; an answer the document does not support is "not in the document"."""

    question: str = dspy.InputField()
    document: str = dspy.InputField()
    answer: str = dspy.OutputField()
    citations: list[str] = dspy.OutputField(desc="verbatim quotes that support the answer")
    confidence: Literal["high", "medium", "low"] = dspy.OutputField()
    not_covered: str = dspy.OutputField(desc="what of the question the document leaves open")


class TriageIncident(dspy.Signature):
    """Judge the incident the logs show: how bad, why, what it touches, what to do first. Name your evidence."""

    question: str = dspy.InputField()
    document: str = dspy.InputField()
    severity: Literal["critical", "high", "medium", "low"] = dspy.OutputField()
    probable_root_causes: list[str] = dspy.OutputField()
    impacted_components: list[str] = dspy.OutputField()
    recommended_actions: list[str] = dspy.OutputField()
    time_range: str = dspy.OutputField()


class PlanChange(dspy.Signature):
    """Plan the change in the code of the document: small steps in order, files by the paths that stand there, commands
    that would show it works, and what may go wrong."""

    question: str = dspy.InputField()
    document: str = dspy.InputField()
    plan_steps: list[str] = dspy.OutputField()
    files_to_touch: list[str] = dspy.OutputField()
    validation_commands: list[str] = dspy.OutputField()
    risks: list[str] = dspy.OutputField()


class Clarify(dspy.Signature):
    """Say what must be known before the request can be carried out well, and what to assume where nobody answers."""

    question: str = dspy.InputField(desc="the request")
    known: str = dspy.InputField(desc="what is there to work with")
    questions: list[str] = dspy.OutputField()
    blocking_unknowns: list[str] = dspy.OutputField()
    safe_default: str = dspy.OutputField()
    proceed_without_answer: bool = dspy.OutputField()
