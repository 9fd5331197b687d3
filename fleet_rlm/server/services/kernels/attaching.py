"""Who may have questions answered in a kernel that is there already: whoever may run code in kernels anyhow."""

from __future__ import annotations

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler

from fleet_rlm.server.auth.authorizer import tell_denied
from fleet_rlm.server.services.errors import Forbidden


async def check_attaching(handler: JupyterHandler) -> None:
    """Let only those pass whom the server lets use its kernels.

    Raises:
        Forbidden: they may not.
    """
    allowed = await ensure_async(handler.authorizer.is_authorized(handler, handler.current_user, "execute", "kernels"))
    if allowed is not True:
        tell_denied(handler, "execute", "kernels")
        raise Forbidden("you may not use the kernels of this server; leave kernel_id out")
