"""What a process that does nothing but run a gateway sets for itself."""

from __future__ import annotations

import gc
import sys
from typing import Final

YOUNG: Final = 200_000
"""New objects before the garbage collector looks at them: messages in flight are no garbage."""


SWITCH_S: Final = 0.001
"""How long a thread that has messages of Kafka waits for one that runs; Python's own is 5 ms."""


def tune() -> None:
    """Let the garbage collector leave alone what stays: call it once, when everything runs.

    It walks all that was imported again and again as messages come and go, a sixth of the time
    that a message takes. A library has no business to do this: it is for the command line.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 100)
