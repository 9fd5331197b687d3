"""The past of a span: what of a run's log its branch begins with."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fleet_rlm.core.events import BudgetChange, Event, LimitChange, Usage
from fleet_rlm.core.tree import Tree


def prefix(events: Iterable[Event], span: str) -> list[Event]:
    """The events of a run up to where `span` began, and the rest of what ran beside it: its finished past.

    What was begun before `span` and is not above it is kept with all that is below it; of what is above it, only what
    was told before. The events are copies, numbered anew; what model calls used in the past is moved to their attrs
    (`used_before`), for the new run did not spend it, and has limits of its own.

    Raises:
        KeyError: there is no such span.
    """
    events = list(events)
    tree = Tree(events)
    cut = tree.spans[span]
    above, node = set(), cut
    while node.parent in tree.spans:
        node = tree.spans[node.parent]
        above.add(node.id)
    beside = {node.id for node in tree.spans.values() if node.seq < cut.seq and node.id not in above}
    for node in tree.spans.values():  # in order of start, so parents come first
        if node.parent in beside:
            beside.add(node.id)
    kept = [
        event
        for event in events
        if (event.span in beside or event.seq < cut.seq) and not isinstance(event, BudgetChange | LimitChange)
    ]
    return [_of_the_past(event, seq) for seq, event in enumerate(kept)]


def _of_the_past(event: Event, seq: int) -> Event:
    usage = getattr(event, "usage", None)
    if not isinstance(usage, Usage):
        return msgspec.structs.replace(event, seq=seq)
    before = {**getattr(event, "attrs", {}), "used_before": msgspec.to_builtins(usage)}
    return msgspec.structs.replace(event, seq=seq, usage=None, attrs=before)
