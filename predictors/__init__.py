"""Films in, findings out: everything that knows images and networks, and nothing that knows the web."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# OpenVINO's converter reports its use to its makers unless this package is missing. What people convert here, and
# when, is nobody's business.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@contextmanager
def kept_out(module: str) -> Iterator[None]:
    """What is imported inside does without ``module``, as if it were not installed; unless it is there already."""
    sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        if sys.modules[module] is None:
            del sys.modules[module]
