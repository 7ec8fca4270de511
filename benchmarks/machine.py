"""What the figures were measured on: results without their machine mean little, and lie in a folder of its name."""

import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from predictors.kernels import processor_flags

PACKAGES = (
    "openvino", "numpy", "pillow", "gradio", "fastapi", "uvicorn", "tensorflow-cpu", "keras", "torch",
    "onnxruntime", "flask", "litserve", "bentoml",
)  # fmt: skip

PRECISIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""From the narrowest to the widest."""

UNTELLING = ("r", "tm", "cpu", "processor")
"""Words of a processor's name that every processor's has."""


def results() -> Path:
    """The folder of this kind of machine: its processor, without its clock, and the widest of its ``PRECISIONS``."""
    processor, widest = _cpu("model name").partition("@")[0], (_flags() or ["plain"])[-1].partition("_")[0]
    words = re.findall(r"[a-z0-9]+", f"{processor} {widest}".lower())
    return Path(__file__).parent / "results" / "-".join(word for word in words if word not in UNTELLING)


def describe() -> None:
    """Write ``machine.json`` into ``results``: processor, cores, memory, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = {
        "processor": _cpu("model name"),
        "cores": len(os.sched_getaffinity(0)),
        "precisions": _flags(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }
    results().mkdir(parents=True, exist_ok=True)
    (results() / "machine.json").write_text(json.dumps(machine, indent=2) + "\n", encoding="utf-8")


def _flags() -> list[str]:
    return [flag for flag in PRECISIONS if flag in processor_flags()]


def _cpu(about: str) -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == about:
            return value.strip()
    return ""
