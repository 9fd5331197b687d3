"""The core memory of a session over REST."""

from __future__ import annotations

import pytest

from tests.server.services.conftest import Model
from tests.server.serving import Serving


@pytest.fixture(scope="module")
def session(server: Serving) -> str:
    """A session with one turn."""
    server.finished(server.post("runs", message="Who am I?", session="memories", mode="direct")["run"])
    return "memories"


def test_an_edit_is_kept_with_who_made_it_and_stands_in_the_next_prompt(
    server: Serving, model: Model, session: str
) -> None:
    assert set(server.get(f"sessions/{session}/memory")["sections"].values()) == {""}
    edit = {"section": "human", "content": "Ada keeps bees.", "mode": "append"}
    edited = server.client.patch(f"{server.base}sessions/{session}/memory", json=edit)
    assert edited.json()["sections"]["human"] == "Ada keeps bees."
    assert server.get(f"sessions/{session}/memory") == edited.json()
    item = server.get(f"sessions/{session}/memory/items")["items"][0]
    assert {**edit, "who": "user", "run": None}.items() <= item.items()
    server.finished(server.post("runs", message="And now?", session=session)["run"])
    assert model.asked("Ada keeps bees.")


def test_a_section_does_not_become_longer_than_it_may(server: Serving, session: str) -> None:
    edit = {"section": "scratchpad", "content": "x" * 1_500, "mode": "replace"}
    full = server.client.patch(f"{server.base}sessions/{session}/memory", json=edit)
    assert full.status_code == 400
    assert "holds at most 1,000 characters" in full.json()["message"]
    unknown = server.client.patch(f"{server.base}sessions/{session}/memory", json={**edit, "section": "mood"})
    assert unknown.status_code == 422
