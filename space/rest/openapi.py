"""The OpenAPI document of the REST routes: ``python -m space.rest.openapi > clients/openapi.json``.

The clients' types are generated from that file; no network is loaded to make it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from predictors.registry import Service
from space.desk import Desk
from space.metrics import Metrics
from space.rest.api import create_rest

_WEIGHTS = Path(__file__).parents[2] / "weights"


def document() -> dict[str, Any]:
    """What ``/openapi.json`` answers."""
    service = Service.open(_WEIGHTS)
    return create_rest(service, Desk(Metrics(service))).openapi()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
