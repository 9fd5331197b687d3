"""Core memory: bounded sections, edits that say who made them, and a state that is all of it."""

from __future__ import annotations

import json

import pytest

from fleet_rlm.agent.memory import EDITS, LIMITS, CoreMemory, MemoryEditError, MemoryFull
from fleet_rlm.core.log import RunLog


def test_an_edit_appends_a_paragraph_or_replaces_the_section() -> None:
    memory = CoreMemory()
    memory.edit("human", "is called Ada")
    memory.edit("human", "likes tables")
    assert memory.sections["human"] == "is called Ada\nlikes tables"
    memory.edit("human", "is called Bea", "replace")
    assert memory.sections["human"] == "is called Bea"


@pytest.mark.parametrize("section", LIMITS)
def test_a_section_is_full_at_its_limit_and_not_before(section: str) -> None:
    memory = CoreMemory()
    memory.edit(section, "x" * LIMITS[section])
    with pytest.raises(MemoryFull) as caught:
        memory.edit(section, "y")
    assert (caught.value.section, caught.value.limit, caught.value.size) == (
        section,
        LIMITS[section],
        LIMITS[section] + 2,
    )
    assert "2 too many" in str(caught.value)
    assert memory.sections[section] == "x" * LIMITS[section]


def test_an_edit_inside_a_run_is_the_agents_and_names_the_run() -> None:
    memory = CoreMemory()
    by_user = memory.edit("persona", "a careful analyst")
    with RunLog("r1").span("tool", "edit_core_memory"):
        by_agent = memory.edit("scratchpad", "seen 3 files")
    assert (by_user.who, by_user.run) == ("user", None)
    assert (by_agent.who, by_agent.run) == ("agent", "r1")
    assert memory.edits == (by_user, by_agent)


@pytest.mark.parametrize(("section", "mode"), [("diary", "append"), ("human", "prepend")])
def test_what_does_not_exist_is_named(section: str, mode: str) -> None:
    with pytest.raises(MemoryEditError, match=r"diary|prepend"):
        CoreMemory().edit(section, "x", mode)  # type: ignore[arg-type]


def test_the_state_is_plain_json_and_all_of_it() -> None:
    memory = CoreMemory()
    memory.edit("human", "Ada \ud800")
    for number in range(EDITS + 10):
        memory.edit("scratchpad", str(number), "replace")
    again = CoreMemory.from_state(json.loads(json.dumps(memory.state())))
    assert again.sections == memory.sections
    assert again.edits == memory.edits
    assert len(memory.edits) == EDITS
    assert again.text() == memory.text()


def test_the_prompt_shows_every_section_with_its_room() -> None:
    memory = CoreMemory()
    memory.edit("human", "Ada")
    assert "human (3 of 2,000 characters):\nAda" in memory.text()
    assert "persona (0 of 2,000 characters):\n(empty)" in memory.text()
