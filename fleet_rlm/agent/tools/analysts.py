"""Typed analysts: tools that put one question to a model and return its fields as JSON.

A document that fits a prompt is read as it is. Of a larger one a recursive language model writes a report first, with
quotes, and the analyst reads that. All of it is on the run's budget and in its log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import dspy

from fleet_rlm.agent.documents import Document
from fleet_rlm.agent.tools import signatures
from fleet_rlm.agent.tools.citations import cited
from fleet_rlm.agent.tools.desk import Desk, Library
from fleet_rlm.core.settings import Settings
from fleet_rlm.lm.metered import calling_as
from fleet_rlm.lm.windows import CHARS_PER_TOKEN
from fleet_rlm.rlm.children import answer_in
from fleet_rlm.rlm.unreadable import Unreadable


def analyst_tools(desk: Desk, library: Library) -> list[Callable[..., Any]]:
    """The tools, over the session's documents. `document` is always an alias, a URL or a path; "" the active one."""

    async def ask(signature: type[dspy.Signature], question: str, document: str) -> str:
        return _told(await analysed(desk, signature, question, await library.get_or_load(document)))

    async def analyse_document(question: str, document: str = "") -> str:
        """Answer a question from a document: answer, findings, sections_examined. `document` is an alias, URL or path,
        by default the active document."""
        return await ask(signatures.AnalyseDocument, question, document)

    async def summarise_document(document: str = "", focus: str = "the whole document") -> str:
        """Summarise a document: summary, key_points, left_out."""
        return await ask(signatures.SummariseDocument, f"Summarise {focus}.", document)

    async def extract_from_logs(question: str, document: str = "") -> str:
        """Find entries in a log: matches, patterns, time_range."""
        return await ask(signatures.ExtractFromLogs, question, document)

    async def grounded_answer(question: str, document: str = "") -> str:
        """Answer from a document with citations, each checked to stand in it word for word: answer, citations with
        their lines, confidence, not_covered, and citations_not_found where a quote does not stand there. Use it
        where evidence matters."""
        found = await library.get_or_load(document)

        async def answer(fault: str | None) -> dspy.Prediction:
            asked = question if fault is None else f"{question}\n\n({fault})"
            return await analysed(desk, signatures.GroundedAnswer, asked, found)

        prediction, citations, missing = await cited(found, answer)
        return _told(prediction, citations=citations, **({"citations_not_found": missing} if missing else {}))

    async def triage_incident(question: str, document: str = "") -> str:
        """Judge an incident from logs: severity, probable_root_causes, impacted_components, recommended_actions,
        time_range."""
        return await ask(signatures.TriageIncident, question, document)

    async def plan_change(change: str, document: str = "") -> str:
        """Plan a change to a loaded repository or source file: plan_steps, files_to_touch, validation_commands,
        risks."""
        return await ask(signatures.PlanChange, change, document)

    async def clarify(request: str) -> str:
        """Find what is unclear in a request: questions, blocking_unknowns, safe_default, proceed_without_answer."""
        known = ", ".join([*desk.names, *(one.alias for one in library.documents if one.alias not in desk.names)])
        inputs = {"question": request, "known": f"variables and documents: {known or 'none'}"}
        return _told(await filled(desk, signatures.Clarify, inputs))

    return [
        *(analyse_document, summarise_document, extract_from_logs, grounded_answer, triage_incident, plan_change),
        clarify,
    ]


async def analysed(desk: Desk, signature: type[dspy.Signature], question: str, document: Document) -> dspy.Prediction:
    """The fields of a signature over a document of any size."""
    text = document.text if document.chars <= _at_once(desk) else await _report(desk, signature, question, document)
    return await filled(desk, signature, {"question": question, "document": text})


async def filled(desk: Desk, signature: type[dspy.Signature], inputs: dict[str, str]) -> dspy.Prediction:
    """The fields a model gives for these inputs; an unreadable reply is asked again."""
    predict = dspy.Predict(signature)

    async def ask(fault: str | None) -> dspy.Prediction:
        question = inputs["question"] if fault is None else f"{inputs['question']}\n\n({fault})"
        with calling_as(signature.__name__, "query"):
            return await predict.acall(**{**inputs, "question": question})

    return await Unreadable(desk.scope.log, desk.scope.lm.model).asked(ask)


async def _report(desk: Desk, signature: type[dspy.Signature], question: str, document: Document) -> str:
    wanted = ", ".join(signature.output_fields)
    query = (
        f"{question}\n\nWork on the variable `{document.alias}` only ({document.kind} from {document.source}). "
        f"{signature.instructions} Answer with a report that holds all that is needed for: {wanted}; quote the text "
        "word for word wherever it matters, with its place."
    )
    sandbox = await desk.ready()
    prediction = await answer_in(desk.scope, sandbox.afork, query, [document.alias], signature.__name__)
    return f"(a report on {document.alias}, which is too long to be read at once)\n\n{prediction.answer}"


def _at_once(desk: Desk) -> int:
    """Characters of a document that are read without recursion: as those of a question's data."""
    most, tokens = Settings.from_environ().direct_chars, desk.scope.lm.window
    return most if tokens is None else min(most, int(tokens * CHARS_PER_TOKEN / 2))


def _told(prediction: dspy.Prediction, **changed: Any) -> str:
    return json.dumps({**prediction.toDict(), **changed}, ensure_ascii=False, indent=1, default=str)
