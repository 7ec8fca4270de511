"""The bill of materials: what an installed environment lists, cut to what is locked, with hashes and networks added."""

from collections.abc import Iterator
from typing import Any

from predictors.spec import SPEC_FILE, ModelSpec
from supply.locks import ROOT, RUN, Pin, normalised, pins

Record = dict[str, Any]


def bill_of_materials(environment: Record) -> Record:
    """CycloneDX 1.6 of what runs, from the bill of an environment that may hold the tests' tools as well."""
    locked = {pin.name: pin for pin in pins(ROOT / RUN)}
    installed = [each for each in environment["components"] if normalised(each["name"]) in locked]
    packages = [_package(each, locked[normalised(each["name"])]) for each in installed]
    components = packages + list(_networks())
    kept = {each["bom-ref"] for each in components}
    return {
        **environment,
        "metadata": {
            "component": {"type": "application", "name": "second-look", "bom-ref": "second-look", "licenses": _MIT},
            "tools": environment["metadata"]["tools"],
        },
        "components": components,
        "dependencies": [
            {**each, "dependsOn": [ref for ref in each.get("dependsOn", ()) if ref in kept]}
            for each in environment["dependencies"]
            if each["ref"] in kept
        ]
        + [{"ref": "second-look", "dependsOn": sorted(kept)}],
    }


_MIT: list[Record] = [{"license": {"id": "MIT"}}]


def _package(component: Record, pin: Pin) -> Record:
    """An installed package as it is published: without this machine's paths, with the hashes of its files."""
    hashes = [{"alg": "SHA-256", "content": digest} for digest in pin.hashes]
    published = {"type": "distribution", "url": f"https://pypi.org/project/{pin.name}/{pin.version}/", "hashes": hashes}
    told = [each for each in component.get("externalReferences", ()) if each["type"] != "distribution"]
    return {**component, "version": pin.version, "externalReferences": [*told, published]}


def _networks() -> Iterator[Record]:
    """Every network, by the hash of its weights of record; where it comes from is in its card."""
    for file in sorted((ROOT / "weights").glob(f"*/{SPEC_FILE}")):
        spec = ModelSpec.read(file.parent)
        yield {
            "type": "machine-learning-model",
            "name": spec.name,
            "version": spec.version,
            "bom-ref": f"weights/{spec.name}/{spec.weights.file}",
            "hashes": [{"alg": "SHA-256", "content": spec.weights.sha256}],
            "licenses": [{"license": {"name": spec.licence}}],
            "modelCard": {
                "modelParameters": {
                    "task": "image classification",
                    "architectureFamily": spec.architecture,
                    "datasets": [{"type": "dataset", "name": name} for name in spec.data],
                }
            },
        }
