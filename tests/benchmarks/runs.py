"""Whole runs of ours and of each peer, over one context and one scripted model."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import dspy

import fleet_rlm
from tests.benchmarks.peers import INTERPRETERS, RLMS
from tests.benchmarks.scripted import client

Contender = Callable[[str], object]


def ours(lm: Any, **options: Any) -> Contender:
    """fleet-rlm, one RLM without an agent before it; `lm` is a dspy.LM or the address of a server."""
    model = f"m@{lm}" if isinstance(lm, str) else lm

    def run(context: str) -> fleet_rlm.Run:
        done = fleet_rlm.run("What is it?", context=context, lm=model, mode="rlm_only", **options)
        assert done.answer == "done"
        return done

    return run


def plain_rlm(interpreter: str, lm: Any, calls: int = 50) -> Contender:
    """dspy.RLM on one of dspy's interpreters."""
    model = client(lm) if isinstance(lm, str) else lm

    def run(context: str) -> object:
        rlm = dspy.RLM("context, query -> answer", interpreter_factory=INTERPRETERS[interpreter], max_llm_calls=calls)
        with dspy.context(lm=model, adapter=dspy.ChatAdapter()):
            prediction = rlm(context=context, query="What is it?")
        assert prediction.answer == "done"
        return prediction

    return run


def rlms(address: str) -> Contender:
    """rlms' RLM in its local environment."""

    def run(context: str) -> object:
        from rlm import RLM

        options = {"model_name": "m", "base_url": address, "api_key": "none"}
        completion = RLM(backend="openai", backend_kwargs=options, environment="local").completion(context)
        assert completion.response == "done", completion.response
        return completion

    return run


def over_server(peer: str, address: str, calls: int = 50) -> Contender:
    """A peer's run against a server."""
    return rlms(address) if peer == RLMS else plain_rlm(peer, address, calls)


@contextlib.contextmanager
def home() -> Iterator[None]:
    """Traces go to a directory that is removed."""
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as folder:
        before, os.environ["FLEET_HOME"] = os.environ.get("FLEET_HOME"), folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["FLEET_HOME"]
            else:
                os.environ["FLEET_HOME"] = before
