"""The magics: `%%fleet` asks a question, `%fleet` looks after runs."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, no_var_expand

from fleet_rlm.notebook.arguments import help_text


@magics_class
class FleetMagics(Magics):
    """Registered by `%load_ext fleet_rlm`; what it calls is imported when it is called."""

    shell: Any

    @no_var_expand
    @line_cell_magic
    def fleet(self, line: str, cell: str | None = None) -> None:
        if cell is None:
            from fleet_rlm.notebook.subcommands import subcommand

            subcommand(self.shell, line)
            return
        from fleet_rlm.notebook.asking import ask, read

        question = read(line, cell, self.shell.user_ns)
        if question is not None:
            ask(self.shell, question)

    fleet.__doc__ = help_text()

    @no_var_expand
    @cell_magic
    async def _fleet_await(self, line: str, cell: str) -> None:
        """The awaiting form of `%%fleet`; `fleet_rlm.notebook.awaiting` writes it into the cell."""
        from fleet_rlm.notebook.asking import ask_awaiting, read

        question = read(line, cell, self.shell.user_ns)
        if question is not None:
            await ask_awaiting(self.shell, question)

    @no_var_expand
    @line_magic
    async def _fleet_await_line(self, line: str) -> None:
        """The awaiting form of `%fleet resume` and `%fleet branch`."""
        from fleet_rlm.notebook.goingon import go_on_awaiting

        await go_on_awaiting(self.shell, line)
