"""What people would serve these networks with instead: each service is started by ``python -m`` and its name.

They read the film with Pillow, squeeze it to the network's square, scale it and answer one number, as the services
that Second Look replaces did. They do less than we do: no guard against pictures of another kind, no heat map, no
calibration, no windowing, no DICOM, no decoding apart from the service, no limits, no queue that is fair.
"""

import sys

# Triton, which comes with torch for GPUs, brings an LLVM that ends the process where TensorFlow is loaded already.
sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
