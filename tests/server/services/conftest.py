"""One server for all tests of the services, and the model it asks: what a question says decides what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.server.serving import Serving
from tests.twins.lm_server import LMServer
from tests.twins.replies import Gate, Reply
from tests.twins.scripts import Fields, Prompt, answer, react_step

KEY = "sk-key-of-the-provider-1234567890"
SECRETS = {
    "OPENAI_API_KEY": KEY,
    "ANTHROPIC_API_KEY": "sk-ant-another-key-0987654321",
    "JUPYTER_TOKEN_OF_OLD": "a-token-that-was-forgotten",
    "MY_DATABASE_URL": "postgresql://fleet:a-password@db.example/fleet",
    "SOME_SERVICE": "https://user:another-password@service.example",
}


@dataclass
class Model:
    """The model's provider. `gates` hold back the answers to questions that name them."""

    server: LMServer
    gates: dict[str, Gate] = field(default_factory=dict)

    def gate(self, word: str) -> Gate:
        """Hold back what is asked with this word."""
        return self.gates.setdefault(word, Gate())

    def asked(self, word: str) -> int:
        """How many calls held this word."""
        return sum(word in one.text for one in self.server.requests)


@pytest.fixture(scope="session")
def model() -> Iterator[Model]:
    """A provider behind HTTP that wants its key."""

    def script(request: dict[str, Any], _: int) -> str | Reply:
        prompt = Prompt(request)
        gate = next((one for word, one in made.gates.items() if word in prompt.user), None)
        text = _step(prompt) if prompt.role == "react_step" else _answered(prompt)
        if prompt.role == "bare":
            return Reply("plain", gate=gate, cut=300 if "broken off" in prompt.user else None)
        return Reply(text.json() if prompt.wants_json else text, gate=gate)

    with LMServer(script, key=KEY) as server:
        made = Model(server)
        yield made


@pytest.fixture(scope="session")
def server(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose model is that one, and whose environment holds many a secret."""
    environ = {
        **SECRETS,
        "OPENAI_BASE_URL": model.server.base_url,
        "FLEET_LM": "openai/twin",
        "ALLOW_DEBUG_AUTH": "1",
        "APP_ENV": "local",
    }
    with Serving(tmp_path_factory.mktemp("serving"), {"FleetApp.volume_bytes": "1000000"}, **environ) as running:
        yield running


def _step(prompt: Prompt) -> Fields:
    """What the agent does: asked to keep notes, it writes one and clears them, else it knows the answer."""
    if "keep notes" in prompt.user and "observation_0" not in prompt.user:
        return react_step("keep one", "write_buffer", name="notes", text="one")
    if "keep notes" in prompt.user and "observation_1" not in prompt.user:
        return react_step("start over", "clear_buffer", name="notes")
    return react_step("I know", "finish")


def _answered(prompt: Prompt) -> Fields:
    return answer(**dict.fromkeys(prompt.outputs, "forty-two"))
