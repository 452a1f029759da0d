import enum
from collections.abc import Sequence
from typing import overload

import numpy as np
from collections.abc import Buffer  # type: ignore[attr-defined]
from numpy.typing import NDArray

class Status(enum.IntEnum):
    OK = 0

class NativeError(RuntimeError):
    status: Status
    name: str

def status_sentence(status: Status) -> str: ...

class ThreadPool:
    def __init__(self, threads: int) -> None: ...
    @property
    def threads(self) -> int: ...
