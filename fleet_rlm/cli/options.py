"""What can be written after `fleet`, and how it reads as options of a run."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from fleet_rlm.core.budget import Budget

Command = Callable[[argparse.Namespace], int]

EXIT_CODES = """\
exit codes: 0 answered, 1 no answer, 2 not begun (a slip, a missing key), 130 stopped with Ctrl-C"""


def parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser; `do` of what it returns is the command chosen from `commands`."""
    from fleet_rlm import __version__

    top = _Parser(
        prog="fleet",
        description="Answers questions over data that no context window holds: an agent writes code over it in a "
        "sandbox, recursing into sub-queries, and shows every step.",
        epilog=EXIT_CODES,
    )
    top.add_argument("--version", action="version", version=f"fleet-rlm {__version__}")
    kinds = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    run = _command(kinds, commands, "run", "ask a question over files and directories")
    run.add_argument("question", help="what you want to know")
    run.add_argument(
        "--with",
        dest="inputs",
        action="append",
        default=[],
        metavar="[NAME=]PATH",
        help="a file or directory to answer from; may be repeated. CSV, TSV and Parquet files become DataFrames, "
        "- is standard input as text",
    )
    _engine(run)
    _approve(run)
    run.add_argument("--session", metavar="NAME", help="ask as a turn of this session, which is made if there is none")
    run.add_argument("--plan", action="store_true", help="print what would be sent first; no model is called")
    run.add_argument("--quiet", action="store_true", help="print the answer only")
    run.add_argument("--json", action="store_true", help="print one JSON object: answer, status, usage, paths")
    run.add_argument("--html", type=Path, metavar="PATH", help="where the report goes; by default beside the run's log")

    demo = _command(kinds, commands, "demo", "three questions over large data that needs no download")
    which = demo.add_mutually_exclusive_group()
    which.add_argument("--question", type=int, choices=(1, 2, 3), default=1, help="which one (by default 1)")
    which.add_argument("--all", action="store_true", help="all three, one after the other")
    which.add_argument(
        "--story", action="store_true", help="a run that is killed, resumed and branched, with its model calls counted"
    )
    demo.add_argument("--quiet", action="store_true", help="with --story: leave out the trees")
    _engine(demo)
    demo.add_argument("--html", type=Path, metavar="PATH", help="where the report of a single question goes")

    chat = _command(kinds, commands, "chat", "a conversation with memory, documents and a sandbox, in this terminal")
    chat.add_argument("--session", metavar="NAME", default="chat", help="which one (by default one called chat)")
    _engine(chat)
    _approve(chat)
    chat.add_argument("--quiet", action="store_true", help="print the answers only")

    _command(kinds, commands, "sessions", "the conversations on this machine, the one used last first")

    resume = _command(kinds, commands, "resume", "go on with a run that has no answer; nothing is paid twice")
    _run(resume)
    _changes(resume)

    branch = _command(kinds, commands, "branch", "a new run that shares another's past up to a span")
    _run(branch)
    branch.add_argument("span", help="the id of the span that is done differently")
    edit = branch.add_mutually_exclusive_group()
    edit.add_argument("--prompt", metavar="TEXT", help="what is asked there instead")
    edit.add_argument("--code", metavar="TEXT", help="what a code span runs instead")
    edit.add_argument("--reply", metavar="TEXT", help="what an llm span is taken to have replied")
    _changes(branch)

    diff = _command(kinds, commands, "diff", "two runs side by side, and where they part")
    diff.add_argument("a", metavar="RUN", help=RUN_HELP)
    diff.add_argument("b", metavar="RUN")

    runs = _command(kinds, commands, "runs", "the runs on this machine, the latest first")
    runs.add_argument("--limit", type=int, default=20, metavar="N", help="how many (by default 20)")

    show = _command(kinds, commands, "show", "print a run from its log")
    show.add_argument("log", metavar="RUN", help=RUN_HELP)
    show.add_argument("--html", type=Path, metavar="PATH", help="also write the report")

    _command(kinds, commands, "models", "the models that can be named right now")
    db = _command(kinds, commands, "db", "bring the store up to date; DATABASE_URL says which one")
    db.add_argument(
        "work",
        choices=("upgrade", "check", "catch-up"),
        help="upgrade: to this program's schema, as the role that owns the database; check: whether it can be used; "
        "catch-up: with the runs on disk",
    )
    db.add_argument("--role", default="fleet_app", metavar="NAME", help="the role servers connect as (fleet_app)")
    serve = _command(kinds, commands, "serve", "the API over HTTP and WebSockets, on this machine", "serve-api")
    _server(serve, 8000)
    lab = _command(kinds, commands, "lab", "JupyterLab with the API beside it, on this machine", "web")
    _server(lab, 8888)
    _command(kinds, commands, "openapi", "print the API's description (OpenAPI 3.1)")
    _command(kinds, commands, "doctor", "whether everything a run needs is there, and what to do if not")
    return top


def engine(args: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `fleet_rlm.agent.runtime.start` that were written; the others keep its defaults."""
    budget = None
    if args.budget is not None or args.usd is not None:
        limits = {name: value for name, value in (("calls", args.budget), ("usd", args.usd)) if value is not None}
        budget = Budget(**limits)
    chosen = {
        "lm": args.model,
        "sub_lm": args.sub_model,
        "mode": args.mode,
        "budget": budget,
        "timeout": args.timeout,
        "depth": args.depth,
        "concurrency": args.concurrency,
        "sandbox": args.sandbox,
        "approve": getattr(args, "approve", None),
        "record": args.record,
        "replay": args.replay,
    }
    return {name: value for name, value in chosen.items() if value is not None}


RUN_HELP = "a run's id, a beginning of it, or a log: its events.jsonl, or what Run.to_jsonl wrote"


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `Run.resume` and `Run.branch` that were written."""
    from fleet_rlm.cli.inputs import read_inputs

    edits = {name: getattr(args, name, None) for name in ("prompt", "code", "reply")}
    chosen = {
        **edits,
        "context": read_inputs(args.inputs) or None,
        "lm": args.model,
        "sub_lm": args.sub_model,
        "budget": args.budget,
        "timeout": args.timeout,
        "approve": args.approve,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", help="the id of a run, or a beginning of it; fleet runs lists them")


def _changes(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--model", metavar="M", help="another model from there on")
    add("--sub-model", metavar="M", help="another model of sub-queries")
    add("--budget", type=int, metavar="N", help="model calls the run may make, those already made included")
    add("--timeout", type=float, metavar="S", help="seconds for the rest of the run")
    add("--with", dest="inputs", action="append", default=[], metavar="NAME=PATH", help="data that was not kept")
    _approve(command)
    add("--quiet", action="store_true", help="print the answer only")
    add("--json", action="store_true", help="print one JSON object: answer, status, usage, paths")
    add("--html", type=Path, metavar="PATH", help="where the report goes; by default beside the run's log")


def _engine(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("the run").add_argument
    add("--model", metavar="M", help="the model that thinks; by default FLEET_LM, else fleet/offline")
    add("--sub-model", metavar="M", help="the model of sub-queries; else that of --model")
    add("--budget", type=int, metavar="N", help="model calls the whole run may make, sub-queries included")
    add("--usd", type=float, metavar="X", help="US dollars the whole run may cost")
    add("--timeout", type=float, metavar="S", help="seconds the whole run may take")
    add(
        "--depth",
        type=int,
        metavar="N",
        help="levels of recursion: 0 allows no sub-calls, 1 sub-queries (llm_query), 2 (the default) sub-RLMs too",
    )
    add("--concurrency", type=int, metavar="N", help="sub-queries in flight at once")
    add("--mode", choices=("auto", "rlm_only", "tools_only", "direct"), help="who works; auto lets the agent decide")
    add("--sandbox", metavar="NAME", help="where generated code runs: local (confined) or process (not confined)")
    add("--record", metavar="FILE", help="append the models' replies to FILE")
    add("--replay", metavar="FILE", help="answer from the replies in FILE; no model is called and no key is needed")


def _approve(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--approve",
        choices=("auto", "edits", "ask"),
        help="which tools of the agent wait for your answer in this terminal: auto (by default) none, edits those that "
        "fetch or clone, ask those that write to the session's memory and buffers too",
    )


def _server(command: argparse.ArgumentParser, port: int) -> None:
    add = command.add_argument
    add("--host", default="127.0.0.1", help="the address to listen at; others than this machine's need a sign-in")
    add("--port", type=int, default=port, metavar="N", help=f"by default {port}")
    add("--base-url", default="/", metavar="PATH", help="what every path begins with")
    add("options", nargs="*", metavar="-- OPTION", help="options of the Jupyter server")


def _command(kinds: Any, commands: Mapping[str, Command], name: str, about: str, *also: str) -> argparse.ArgumentParser:
    described = f"{about[0].upper()}{about[1:]}."
    command: argparse.ArgumentParser = kinds.add_parser(name, help=about, description=described, aliases=also)
    command.set_defaults(do=commands[name])
    return command


class _Parser(argparse.ArgumentParser):
    """argparse, with the close match of a mistyped option or command in its error."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            known = [flag for sub in (self, *_subparsers(self)) for flag in sub._option_string_actions]
            near = difflib.get_close_matches(rest[0].partition("=")[0], known, n=1)
            self.error(f"{rest[0]!r} is not understood{f'; did you mean {near[0]}?' if near else ''}")
        return parsed

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\ntry: {self.prog} --help\n")


def _subparsers(top: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        sub
        for action in top._actions
        if isinstance(action, argparse._SubParsersAction)
        for sub in action.choices.values()
    ]
