"""Canary secrets of a real run reach the model, and no sink."""

from __future__ import annotations

import io
import json
import logging
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import nbclient
import nbformat
import pandas as pd
import pytest

import fleet_rlm as fleet
from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.events import to_dict
from fleet_rlm.core.log import MAX_VALUE
from fleet_rlm.core.redaction import REDACTED
from fleet_rlm.notebook.channel import Channel
from fleet_rlm.notebook.widget import RunWidget
from tests.redaction.canaries import ENVIRON, KEY, LEAKED, SECRETS, TOKEN, found, found_below
from tests.twins.lm_server import LMServer
from tests.twins.running import model
from tests.twins.scripts import answer, by_role, react_step, rlm_action

DATA = "nothing here\n" * 30_000 + LEAKED

PRINT = "print(context[context.index('canary/'):])"
LONG = f"print(('x' * 99 + '\\n') * {MAX_VALUE // 100}, context[context.index('canary/'):])"
ASK = "llm_query('what is ' + context[context.index('canary/'):])"
DISPLAY = """
class Shown:
    def _repr_mimebundle_(self):
        text = context[context.index('canary/'):]
        return {'text/plain': text, 'text/html': '<b>' + text, 'application/json': {'password': 'short', 'a': [text]}}
display(Shown())
"""
FAIL = "raise RuntimeError('cannot connect with ' + context[context.index('canary/'):])"
SUBMIT = "SUBMIT(answer='found ' + context[context.index('canary/'):])"


@pytest.fixture(autouse=True)
def canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


@dataclass
class Leaky:
    """A run in which everything that can give secrets away does, and what was told of it meanwhile."""

    run: fleet.Run
    server: LMServer
    logged: str


@pytest.fixture
def leaky() -> Iterator[Leaky]:
    handler = logging.StreamHandler(heard := io.StringIO())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    actions = [rlm_action(f"I know {LEAKED}", code) for code in (PRINT, LONG, ASK, DISPLAY, FAIL, SUBMIT)]
    try:
        with LMServer(by_role(rlm_action=actions, bare=f"it is {LEAKED}"), key=KEY) as server:
            lm = dspy.LM("openai/m", api_base=server.base_url, api_key=KEY, cache=False)
            run = fleet.run(f"What is {LEAKED}?", context=DATA, lm=lm, mode="rlm_only")
            yield Leaky(run, server, heard.getvalue())
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def test_the_model_is_sent_what_it_was_asked_and_the_run_is_answered(leaky: Leaky) -> None:
    assert leaky.run.status == "ok"
    sent = "\n".join(request.text for request in leaky.server.requests)
    assert all(secret in sent for secret in SECRETS)
    assert leaky.run.usage.llm_calls == 7


def test_every_kind_of_event_was_reached_by_a_secret(leaky: Leaky) -> None:
    """Else the tests below would be content with a run in which nothing leaks."""
    reached = {event.__struct_config__.tag for event in leaky.run.events() if REDACTED in json.dumps(to_dict(event))}
    assert reached == {"run.start", "run.end", "span.start", "span.end", "delta", "display"}


def test_no_secret_is_in_any_file_of_the_run(leaky: Leaky, fleet_home: Path) -> None:
    users = fleet_home / "values"  # the data given to the run, kept as it is for resuming
    leaks = {name: canaries for name, canaries in found_below(fleet_home).items() if not name.startswith(str(users))}
    assert leaks == {}
    kept = [Path(artifact.path) for artifact in leaky.run.artifacts]
    assert any(REDACTED in path.read_text() for path in kept), "the long output is an artifact"


def test_no_secret_is_in_an_export(leaky: Leaky, tmp_path: Path) -> None:
    run, exports = leaky.run, tmp_path / "exports"
    exports.mkdir()
    run.to_jsonl(exports / "run.jsonl")
    run.to_html(exports / "run.html")
    run.to_parquet(exports / "run.parquet")
    run.spans().to_csv(exports / "run.csv")
    pd.read_parquet(exports / "run.parquet").to_csv(exports / "parquet.csv")  # the file itself is compressed
    assert found_below(exports) == {}


def test_no_secret_is_in_what_a_kernel_shows(leaky: Leaky) -> None:
    run = leaky.run
    shown = [repr(run), run.answer, json.dumps(run._repr_mimebundle_()), str(run.spans()), str(run.tree.canonical())]
    assert found("\n".join(shown)) == []
    assert REDACTED in run.answer


def test_no_secret_is_in_the_messages_and_the_state_of_the_widget(leaky: Leaky) -> None:
    sent: list[dict[str, Any]] = []
    last, whole = len(leaky.run.log) - 1, threading.Event()

    def send(envelope: dict[str, Any]) -> None:
        sent.append(envelope)
        if envelope.get("to") == last:
            whole.set()

    channel = Channel(leaky.run.log, send)
    assert whole.wait(30)
    channel.close()
    assert REDACTED in json.dumps(sent)
    assert found(json.dumps(sent)) == []
    widget = RunWidget(leaky.run.log, on_stop=lambda: None, on_approve=lambda *_: None)
    settled = threading.Event()
    widget.observe(lambda change: "answer" in change["new"] and settled.set(), "snapshot")
    assert "answer" in widget.snapshot or settled.wait(10)
    state = {name: value for name, value in widget.get_state().items() if name not in ("_esm", "_css")}
    widget.close()
    assert found(repr(state)) == []


def test_no_secret_is_logged(leaky: Leaky) -> None:
    assert found(leaky.logged) == []


def test_no_secret_is_in_the_error_of_a_run_that_fails() -> None:
    with LMServer(lambda request, index: "no reply in any format: " + LEAKED) as server:
        lm = dspy.LM("openai/m", api_base=server.base_url, api_key=KEY, cache=False)
        with pytest.raises(FleetError) as caught:
            fleet.run(f"What is {LEAKED}?", context="small", lm=lm)
    assert found(str(caught.value)) == []
    assert found("".join(traceback.format_exception_only(caught.value))) == []
    assert found(str(caught.value.run.error)) == []  # type: ignore[attr-defined]


def test_no_secret_is_in_a_plan_and_the_plan_says_so() -> None:
    lm = dspy.LM("openai/m", api_base="http://127.0.0.1:9/v1", api_key=KEY)
    plan = fleet.plan(f"What is {LEAKED}?", context=LEAKED, lm=lm).text()
    assert found(plan) == []
    assert plan.endswith(f"Secrets are shown as {REDACTED}; the model would be sent them as they are.")
    assert REDACTED not in fleet.plan("What is it?", context="nothing\ud800", lm=lm).text()


STEPS = [
    react_step(f"use {LEAKED}", "execute_code", code=f"{PRINT}  # {TOKEN}"),
    react_step("hm", "no_such_tool", password="short", note=LEAKED),
    react_step("done", "finish"),
]


@contextmanager
def agent() -> Iterator[dspy.LM]:
    """A model that gives everything away to tools and in its answer."""
    with model(react_step=STEPS, react_extract=answer(reasoning="-", answer=LEAKED)) as (server, _):
        yield dspy.LM("openai/m", api_base=server.base_url, api_key=KEY, cache=False)


def test_no_secret_is_in_a_tools_events() -> None:
    with agent() as lm:
        run = fleet.run("What?", context=DATA, lm=lm)
    told = json.dumps([to_dict(event) for event in run.events()])
    assert found(told) == []
    assert '"short"' not in told.replace("\\", "")


def test_no_secret_is_in_the_database(fleet_home: Path) -> None:
    with agent() as lm, fleet.Session("incident") as session:
        run = session.ask(f"What is {LEAKED}?", context=DATA, lm=lm)
    databases = [path for path in fleet_home.rglob("fleet.db*") if path.is_file()]
    assert any(run.id.encode() in path.read_bytes() for path in databases)
    assert {path.name: canaries for path in databases if (canaries := found(path.read_bytes()))} == {}


def test_no_secret_is_in_a_notebook_that_was_executed_and_saved() -> None:
    steps = [rlm_action(f"I know {LEAKED}", code) for code in (PRINT, FAIL, SUBMIT)]
    with LMServer(by_role(rlm_action=steps), key=KEY) as server:
        sources = [
            "import dspy\nfrom tests.redaction.test_canaries import DATA as context, KEY",
            "%load_ext fleet_rlm",
            f"dspy.configure(lm=dspy.LM('openai/m', api_base='{server.base_url}', api_key=KEY, cache=False))",
            "%%fleet --with context --mode rlm_only\nWhat is it?",
            "_run",
            "%fleet show _run",
            "_run.spans()",
            "%fleet show _run --sent",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(Path.cwd())}}, timeout=100).execute()
    saved = nbformat.writes(notebook)
    assert REDACTED in saved
    assert found(saved) == []
