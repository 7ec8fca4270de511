"""Films in, findings out: everything that knows images and networks, and nothing that knows the web."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# OpenVINO's converter reports its use to its makers unless this package is missing. What people convert here, and
# when, is nobody's business.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@contextmanager
def kept_out(module: str, stand_in: ModuleType | None = None) -> Iterator[None]:
    """What is imported inside does without ``module``, unless it is there already: it gets ``stand_in``.

    Without one it is as if ``module`` were not installed.
    """
    sys.modules.setdefault(module, stand_in)  # type: ignore[arg-type]
    try:
        yield
    finally:
        if sys.modules[module] is stand_in:
            del sys.modules[module]
