"""Films in, findings out: everything that knows images and networks, and nothing that knows the web."""

import sys

# OpenVINO's converter reports its use to its makers unless this package is missing. What people convert here, and
# when, is nobody's business.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
