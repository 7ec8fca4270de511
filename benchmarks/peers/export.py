"""One of our networks to an ONNX file: ``python -m benchmarks.peers.export <model> <path>``."""

import os
import sys
from pathlib import Path

import torch

from benchmarks.peers.torch_networks import torch_network
from predictors.spec import ModelSpec

WEIGHTS = Path(__file__).parent.parent.parent / "weights"


def export(model: str, path: Path) -> None:
    """Write the network with input ``film`` [1, size, size, 3] and output ``logits`` [1, K], in float32."""
    size = ModelSpec.read(WEIGHTS / model).input.size
    # Under another name until it is whole: two services may want it at the same moment.
    part = path.with_suffix(f".{os.getpid()}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        torch_network(model),
        (torch.zeros(1, size, size, 3),),
        part,
        input_names=["film"],
        output_names=["logits"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    part.replace(path)


if __name__ == "__main__":
    export(sys.argv[1], Path(sys.argv[2]))
