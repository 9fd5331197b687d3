"""Makes the transcript in `docs/server.md`: starts a server, does what the page shows, and writes down what came back.

    .venv/bin/python docs/transcript.py

Nothing but this machine is needed: the questions are answered by `fleet/offline`, a set of rules that writes real code
for a real sandbox. The token of the server is written as $TOKEN; all else is as it was printed.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).with_name("server.md")
BEGIN, END = "<!-- transcript: made by docs/transcript.py -->\n", "<!-- end of transcript -->\n"
BIN = Path(sys.executable).parent
PORT = 8_123
LINES = 400_000
WIDTH = 118

WATCH = """\
import asyncio, json, os, sys
from websockets.asyncio.client import connect

async def watch(run, since, most):
    address = os.environ["FLEET"].replace("http", "ws", 1) + "/api/v1/ws/execution/events"
    address += f"?run={run}&since={since}&trace=compact"
    headers = {"Authorization": "token " + os.environ["TOKEN"]}
    async with connect(address, additional_headers=headers, proxy=None) as socket:
        async for text in socket:
            told = json.loads(text)
            if told["type"] == "ended":
                return print("ended:", told["status"], "- next event would be", told["next"])
            for event in told["events"]:
                print(event["seq"], event["kind"], event.get("type", ""), event.get("name", ""))
            if told["to"] + 1 >= most:
                return print("hanging up; go on with since =", told["to"] + 1)

asyncio.run(watch(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
"""

STOP = """\
import asyncio, json, os
from websockets.asyncio.client import connect

async def ask_and_stop():
    address = os.environ["FLEET"].replace("http", "ws", 1) + "/api/v1/ws/execution"
    headers = {"Authorization": "token " + os.environ["TOKEN"]}
    async with connect(address, additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps({"type": "message", "id": "q1", "session_id": "incident",
                                      "content": "How many lines mention the payments service?"}))
        async for text in socket:
            told = json.loads(text)
            if told["type"] == "accepted":
                print("accepted: run", told["run"])
                await socket.send(json.dumps({"type": "cancel", "id": "c1", "run": told["run"]}))
            elif told["type"] == "ended":
                return print("ended:", told["status"], told["run"])

asyncio.run(ask_and_stop())
"""

CLIENT = """\
import os
import pandas as pd
from fleet_rlm.client import Client

with Client(os.environ["FLEET"].removesuffix("/fleet"), token=os.environ["TOKEN"]) as fleet:
    print([(turn.message, turn.status) for turn in fleet.sessions.turns("incident").items])
    run = fleet.runs.wait(fleet.runs.start("How many lines mention checkout?", session="incident").run)
    print(run.status, "-", run.answer.splitlines()[0])
    path = fleet.sessions.export("incident", "incident.parquet", "parquet")
    print(pd.read_parquet(path).groupby("kind")[["span"]].count().T)
"""


class Show:
    """Does things in a directory of its own, and writes down what a reader would do and see."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: list[str] = []
        kept = {name: os.environ[name] for name in ("LANG", "LD_LIBRARY_PATH") if name in os.environ}
        self._environ = {
            **kept,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(directory),
            "FLEET_HOME": str(directory / "home"),
            "FLEET": f"http://127.0.0.1:{PORT}/fleet",
            "NO_PROXY": "127.0.0.1",
        }
        self._server: subprocess.Popen[str] | None = None

    def say(self, text: str) -> None:
        """A sentence between two steps."""
        self._written.append(f"{text}\n")

    def serve(self) -> None:
        """Start the server, and wait until it says where it is."""
        command = ["fleet", "serve", "--port", str(PORT)]
        options = ["--", "--allow-root"] if os.getuid() == 0 else []
        self._server = subprocess.Popen(
            [*command, *options], env=self._environ, cwd=self._directory, stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout is not None
        told = "".join(self._server.stdout.readline() for _ in range(4))
        token = re.search(r"Authorization: token ([0-9a-f]+)", told)
        assert token is not None, told
        self._environ["TOKEN"] = token[1]
        self._block("sh", f"$ {shlex.join(command)}\n{told}")

    def stop(self) -> None:
        """End the server as Ctrl-C does."""
        assert self._server is not None
        self._server.send_signal(signal.SIGTERM)
        self._server.wait(60)

    def run(self, command: str, language: str = "sh") -> str:
        """A line in a shell."""
        done = subprocess.run(
            ["bash", "-c", command], env=self._environ, cwd=self._directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        self._block(language, f"$ {command}\n{_shortened(done.stdout)}")
        return done.stdout

    def program(self, name: str, code: str) -> None:
        """A file that later lines run."""
        (self._directory / name).write_text(code, encoding="utf-8")
        self._block("python", f"# {name}\n{code}")

    def page(self) -> str:
        """All of it as Markdown."""
        return "\n".join(self._written)

    def _block(self, language: str, text: str) -> None:
        shown = text.replace(self._environ.get("TOKEN", "\0"), "$TOKEN").rstrip()
        self._written.append(f"```{language}\n{shown}\n```\n")


def _shortened(output: str) -> str:
    lines = output.rstrip().splitlines()
    return "\n".join(line if len(line) <= WIDTH * 5 else line[: WIDTH * 5] + " ..." for line in lines)


def log() -> str:
    """A log to ask about; the same every time."""
    services = ("checkout", "payments", "search", "mail")
    return "".join(
        f"2026-11-25T10:{number // 6000 % 60:02d}:{number // 100 % 60:02d} "
        f"{'ERROR' if number % 97 == 0 else 'INFO'} {services[number * 7 % 4]} "
        f"request {number} took {number % 900} ms\n"
        for number in range(LINES)
    )


def perform(show: Show) -> None:
    """The steps of the page, in order."""
    get = """curl -sS -H "Authorization: token $TOKEN" $FLEET"""
    show.serve()
    show.say(
        f"In the shell of what follows, `FLEET=http://127.0.0.1:{PORT}/fleet` and `TOKEN` is the token printed above."
    )
    show.run("curl -sS $FLEET/health; echo; curl -sS $FLEET/ready")
    show.run(f"{get}/ready")
    show.run("curl -sS $FLEET/api/v1/sessions")
    show.say(f"**A question about a file of {LINES:,} lines**, in a session that is made by asking in it.")
    body = """-d '{"message": "How many lines contain ERROR?", "session": "incident", "context_paths": ["app.log"]}'"""
    started = show.run(f"{get}/api/v1/runs \\\n    {body}")
    run = re.search(r'"run":"([^"]+)"', started)
    assert run is not None
    show.say(
        "**Live events, cut and resumed**, from outside a notebook: the second connection begins where the first ended."
    )
    show.program("watch.py", WATCH)
    cut = show.run(f"python watch.py {run[1]} 0 6")
    place = re.search(r"since = (\d+)", cut)
    assert place is not None
    show.run(f"python watch.py {run[1]} {place[1]} inf")
    show.run(f"{get}/api/v1/runs/{run[1]}")
    show.say("**Stopped over a WebSocket, resumed over REST.** What was paid before the stop is not paid again.")
    show.program("stop.py", STOP)
    stopped = re.search(r"ended: stopped (\S+)", show.run("python stop.py"))
    assert stopped is not None
    resumed = show.run(f"{get}/api/v1/runs/{stopped[1]}/resume -X POST")
    following = re.search(r'"next":(\d+)', resumed)
    assert following is not None
    show.run(f"python watch.py {stopped[1]} {following[1]} inf")
    show.say(
        "**The server is restarted.** The session is there, with its turns and its data: the next question goes on\n"
        "with the same file. Then it is exported to Parquet. The client is `fleet_rlm.client`."
    )
    show.stop()
    show.serve()
    show.program("after.py", CLIENT)
    show.run("python after.py")
    show.run(f"{get}/api/v1/sessions/incident/stats")
    show.stop()


def main() -> None:
    """Do it all, and put it into the page."""
    with tempfile.TemporaryDirectory() as directory:
        show = Show(Path(directory))
        (Path(directory) / "app.log").write_text(log(), encoding="utf-8")
        try:
            perform(show)
        except BaseException:
            print(show.page())
            show.stop()
            raise
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + show.page() + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
