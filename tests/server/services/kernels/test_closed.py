"""What lies on the server's disk and is not for agents: other users' runs, and the server's own secrets."""

from __future__ import annotations

import json
from pathlib import Path

from tests.server.serving import Serving
from tests.twins.lm_server import LMServer
from tests.twins.scripts import Prompt, answer

ADA = {"X-Fleet-Debug-Tenant": "acme", "X-Fleet-Debug-User": "ada"}
BOB = {"X-Fleet-Debug-Tenant": "other", "X-Fleet-Debug-User": "bob"}
WORD = "ocelot7481"


def test_a_user_reads_neither_another_users_home_nor_the_servers_secrets_where_both_lie_below_a_root(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    home, runtime = root / "data/fleet", root / "jupyter/runtime"
    places = {"FLEET_HOME": str(home), "JUPYTER_RUNTIME_DIR": str(runtime), "ALLOW_DEBUG_AUTH": "1"}

    def ended(run: str, whose: dict[str, str]) -> None:
        with server.watch(f"run={run}", **whose) as talk:
            assert talk.until("ended")["status"] == "ok"

    with (
        LMServer(lambda request, _: answer(**dict.fromkeys(Prompt(request).outputs, "fine"))) as twin,
        Serving(tmp_path, FLEET_LM=f"m@{twin.base_url}", **places) as server,
    ):
        (root / "note.txt").write_text("everybody may read this")
        mine = server.post("runs", headers=ADA, message=WORD, session="mine", mode="direct")["run"]
        ended(mine, ADA)
        (log,) = home.glob(f"users/*/runs/{mine}/events.jsonl")
        (cookies,) = runtime.glob("jupyter_cookie_secret")
        for path in (log, log.parents[2], home, cookies, runtime):
            below = str(path.relative_to(root))
            for named in ({"context_paths": [below]}, {"docs": [below]}):
                refused = server.post("runs", 400, headers=BOB, message="?", session="theirs", mode="direct", **named)
                assert "is closed" in refused["message"]
        asked = {"message": "What is there?", "session": "theirs", "mode": "direct"}
        ended(server.post("runs", headers=BOB, **asked, context_paths=["."])["run"], BOB)
        prompt = json.dumps(twin.requests[-1].body)
        assert "everybody may read this" in prompt
        assert WORD not in prompt
