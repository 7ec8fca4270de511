"""Which of OpenVINO's kernels compute a network, where its own choice is not the fastest.

On a processor with AVX2 and without AVX-512, OpenVINO 2026.4 takes its ``brgconv`` kernels for every convolution; the
older ``jit`` ones compute 1x1 and depthwise convolutions, which is most of what EfficientNet and MobileNet do, faster
(7% to 19% less time for the network), and the same to 1e-5 in logits. A network's file may say which it prefers.
"""

from functools import cache
from pathlib import Path
from xml.etree import ElementTree  # twins are ours: their SHA-256 was checked

PREFERRED = "cpu:jit_avx2_1x1,cpu:jit_avx2_dw"
"""In OpenVINO's own words; what cannot compute a layer is passed over."""


@cache
def processor_flags() -> frozenset[str]:
    """What this processor can do, as Linux calls it; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def fastest_here(topology: bytes) -> bytes:
    """A twin's ``topology`` (``.xml``) that prefers the kernels that are the fastest on this processor."""
    flags = processor_flags()
    return preferring_jit(topology) if "avx2" in flags and "avx512f" not in flags else topology


def preferring_jit(topology: bytes) -> bytes:
    """A twin's ``topology`` whose 1x1 and depthwise convolutions prefer ``PREFERRED``."""
    network = ElementTree.fromstring(topology)  # noqa: S314
    for layer in network.iterfind("layers/layer"):
        weights = layer.findall("input/port[2]/dim")
        pointwise = layer.get("type") == "Convolution" and {dim.text for dim in weights[-2:]} == {"1"}
        if pointwise or layer.get("type") == "GroupConvolution":
            known = layer.find("rt_info")
            known = ElementTree.SubElement(layer, "rt_info") if known is None else known
            attribute = {"name": "primitives_priority", "version": "0", "value": PREFERRED}
            ElementTree.SubElement(known, "attribute", attribute)
    return ElementTree.tostring(network)
