"""Documents: what a session has loaded to read, from files, directories, repositories and the web.

Whatever its format, a document becomes one text on disk, kept by its hash; so it is in memory only while it is read,
and a session that keeps the directory keeps the document. Does not know agents, tools or sandboxes' workings.
"""

from fleet_rlm.agent.documents.collection import Documents
from fleet_rlm.agent.documents.document import Document
from fleet_rlm.agent.documents.errors import DocumentError

__all__ = ["Document", "DocumentError", "Documents"]
