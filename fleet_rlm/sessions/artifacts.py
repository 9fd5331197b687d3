"""Files that runs make, in the session's volume: `artifacts/<run>/<name>`, with hash and provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleet_rlm.core.run import Run
from fleet_rlm.sessions.volumes import Volume, VolumeError


def landed(run: Run, volume: Volume) -> tuple[list[dict[str, Any]], list[str]]:
    """Copy the files of a run into the volume.

    Returns:
        what a session keeps of each (path, mime, bytes, sha256, run, span), and a sentence for each that has no place.
    """
    texts = {  # values too long for the log, which nobody made as files
        value for node in run.tree.spans.values() for name, value in node.attrs.items() if name.endswith("_artifact")
    }
    kept: list[dict[str, Any]] = []
    faults: list[str] = []
    for artifact in run.artifacts:
        if artifact.id in texts:
            continue
        path = f"artifacts/{run.id}/{artifact.id}-{artifact.name}"
        try:
            entry = volume.write(path, Path(artifact.path))
        except VolumeError as error:
            faults.append(f"{artifact.name} stays beside the run's log only: {error}")
            continue
        kept.append(
            {
                "path": entry.path,
                "mime": artifact.mime,
                "bytes": entry.bytes,
                "sha256": artifact.sha256,
                "run": run.id,
                "span": artifact.span,
            }
        )
    return kept, faults
