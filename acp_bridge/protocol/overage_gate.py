"""Refuses prompts while extra usage would pay for them, if the user does not want that.

The block can be lifted: by the reset of the plan's window, and by evidence that the plan pays
again. Whether it stands is asked anew for each prompt.
"""

from collections.abc import Callable

from acp_bridge.protocol import names
from acp_bridge.protocol.decisions import ClientDecision, Interceptor, Refuse
from acp_bridge.protocol.envelope import Envelope


class OverageGate(Interceptor):
    """Stands before every request that spends.

    Args:
        refusal: how to refuse now; None where prompts may pass.
    """

    client_methods = names.SPENDING

    def __init__(self, refusal: Callable[[], Refuse | None]) -> None:
        self._refusal = refusal

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        """Refuse while the block stands."""
        del message, now
        return self._refusal()
