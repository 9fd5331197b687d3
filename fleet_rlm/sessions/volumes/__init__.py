"""Volumes: durable folders of files that belong to a session, or by their name to several.

`memory/` is written by the agent's tools, `artifacts/` by runs, `buffers/` by the user; `meta/` holds the sessions'
own state, and no verb here reaches it.
"""

from fleet_rlm.sessions.volumes.local import LocalVolume
from fleet_rlm.sessions.volumes.named import LocalVolumes, Volumes
from fleet_rlm.sessions.volumes.volume import Entry, Quota, Volume, VolumeError, VolumeFull

__all__ = ["Entry", "LocalVolume", "LocalVolumes", "Quota", "Volume", "VolumeError", "VolumeFull", "Volumes"]
