"""A real Jupyter kernel that a test drives message by message, so that it can act in the middle of a cell."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

import fleet_rlm

SECONDS = 60
"""How long any one step may take on a busy machine."""


@dataclass
class Cell:
    """What a cell has put out so far, as a notebook would hold it; `error` is its failure."""

    message: str
    printed: str = ""
    complained: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)
    handles: list[str] = field(default_factory=list)
    result: str | None = None
    error: dict[str, Any] | None = None
    reply: dict[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return bool(self.reply["status"] == "ok")

    @property
    def widgets(self) -> list[str]:
        """The model ids of the widgets shown."""
        view = "application/vnd.jupyter.widget-view+json"
        return [bundle[view]["model_id"] for bundle in self.displays if view in bundle]

    @property
    def static(self) -> list[dict[str, Any]]:
        """The displays that need no kernel."""
        return [bundle for bundle in self.displays if "text/html" in bundle]


class Kernel:
    """A kernel, by default with the extension loaded; `run` is a whole cell, `begin` and `end` are its two halves."""

    def __init__(self, home: Path, environ: Mapping[str, str] | None = None, *, loaded: bool = True) -> None:
        package = str(Path(fleet_rlm.__file__).parents[1])
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("FLEET_", "DSPY_"))}
        own = {"PYTHONPATH": package, "IPYTHONDIR": str(home / "ipython"), "FLEET_HOME": str(home / "fleet")}
        environ = {**outside, **own, **(environ or {})}
        self.manager, self.client = start_new_kernel(kernel_name="python3", env=environ, cwd=str(home))
        assert isinstance(self.client, BlockingKernelClient)
        self._updates: dict[str, dict[str, Any]] = {}
        if loaded:
            assert self.run("%load_ext fleet_rlm").succeeded

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, source: str) -> Cell:
        return self.end(self.begin(source))

    def value(self, expression: str) -> str:
        """The repr of an expression in the kernel."""
        cell = self.run(expression)
        assert cell.result is not None, cell
        return cell.result

    def begin(self, source: str) -> Cell:
        return Cell(self.client.execute(source))

    def end(self, cell: Cell) -> Cell:
        """Read on until the cell has ended."""
        while not cell.reply:
            reply = self.client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == cell.message:
                cell.reply = reply["content"]
        while not self._read(cell):
            pass
        return cell

    def until_widget(self, cell: Cell) -> str:
        """Read on until the cell shows a widget; its model id."""
        while not cell.widgets:
            assert not self._read(cell), cell
        return cell.widgets[0]

    def until_update(self, cell: Cell) -> dict[str, Any]:
        """Read on until a display of the cell is changed; what it shows then."""
        while not (updated := [handle for handle in cell.handles if handle in self._updates]):
            self._read(cell)
        return self._updates[updated[0]]

    def press(self, model: str, content: Mapping[str, Any]) -> None:
        """Send what a widget's page half sends."""
        data = {"method": "custom", "content": dict(content)}
        message = self.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        self.client.shell_channel.send(message)

    def tab(self, text: str) -> list[str]:
        """What Tab offers at the end of a text."""
        asked = self.client.complete(text)
        while (reply := self.client.get_shell_msg(timeout=SECONDS))["parent_header"].get("msg_id") != asked:
            pass
        matches: list[str] = reply["content"]["matches"]
        return matches

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def _read(self, cell: Cell) -> bool:
        """Take in one message; True when it says that the cell has ended."""
        message = self.client.get_iopub_msg(timeout=SECONDS)
        kind, content = message["msg_type"], message["content"]
        if kind == "update_display_data":
            self._updates[content["transient"]["display_id"]] = content["data"]
        if message["parent_header"].get("msg_id") != cell.message:
            return False
        match kind:
            case "stream" if content["name"] == "stdout":
                cell.printed += content["text"]
            case "stream":
                cell.complained += content["text"]
            case "display_data":
                cell.displays.append(content["data"])
                cell.handles.extend(content.get("transient", {}).values())
            case "execute_result":
                cell.result = content["data"]["text/plain"]
            case "error":
                cell.error = content
        return bool(kind == "status" and content["execution_state"] == "idle")
