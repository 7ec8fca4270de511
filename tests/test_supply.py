"""The locks, the licences and the bill of materials say the same as the requirements."""

import csv
import json
from pathlib import Path

import pytest

from predictors.runtime import sha256_of
from supply.__main__ import BILL_FILE, LICENCES_FILE
from supply.bill import bill_of_materials
from supply.locks import ROOT, RUN, SERVING, TESTS, Pin, normalised, pins


def versions(file: str) -> dict[str, str]:
    return {pin.name: pin.version for pin in pins(ROOT / file)}


@pytest.mark.parametrize(("requirements", "lock"), [("requirements.txt", RUN), ("requirements-dev.txt", TESTS)])
def test_a_lock_holds_every_requirement_at_its_version(requirements: str, lock: str) -> None:
    assert versions(requirements)
    assert versions(requirements).items() <= versions(lock).items()


@pytest.mark.parametrize("lock", [RUN, SERVING, TESTS])
def test_every_locked_package_has_its_hashes(lock: str) -> None:
    assert [pin.name for pin in pins(ROOT / lock) if not pin.hashes] == []


def test_what_is_served_is_a_part_of_what_is_tested() -> None:
    serving, run, tests = (set(pins(ROOT / lock)) for lock in (SERVING, RUN, TESTS))
    assert serving < run < tests


def test_what_readmes_commands_install_is_locked() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.startswith("python3.11 -m venv")]
    assert [line.partition(" -r ")[2].split()[0] for line in commands] == [RUN, TESTS]


def test_every_package_has_a_licence_or_is_explained() -> None:
    with LICENCES_FILE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {normalised(row["Name"]): row["Version"] for row in rows} == versions(RUN)
    explained = (LICENCES_FILE.parent / "README.md").read_text(encoding="utf-8")
    doubtful = [row["Name"] for row in rows if row["License"] == "UNKNOWN" or "General Public" in row["License"]]
    assert [name for name in doubtful if f"`{name}`" not in explained] == []


def test_the_bill_lists_every_locked_package_and_every_network_with_hashes() -> None:
    components = json.loads(BILL_FILE.read_text(encoding="utf-8"))["components"]
    packages = {normalised(each["name"]): each for each in components if each["type"] == "library"}
    assert {name: each["version"] for name, each in packages.items()} == versions(RUN)
    for pin in pins(ROOT / RUN):
        (published,) = [each for each in packages[pin.name]["externalReferences"] if each["type"] == "distribution"]
        assert tuple(each["content"] for each in published["hashes"]) == pin.hashes
    networks = [each for each in components if each["type"] == "machine-learning-model"]
    assert len(networks) == len(list((ROOT / "weights").glob("*/spec.json")))
    for network in networks:
        assert network["hashes"][0]["content"] == sha256_of(ROOT / network["bom-ref"])


def test_a_bill_keeps_what_is_locked_and_nothing_of_this_machine() -> None:
    pin = pins(ROOT / RUN)[0]
    here = {"type": "distribution", "url": "file:///home/someone/wheels"}
    components = [
        {"type": "library", "name": name, "version": "0", "bom-ref": name, "externalReferences": [here]}
        for name in (pin.name.upper(), "not-locked")
    ]
    needs = [{"ref": pin.name.upper(), "dependsOn": ["not-locked"]}, {"ref": "not-locked"}]
    bill = bill_of_materials({"metadata": {"tools": {}}, "components": components, "dependencies": needs})
    (package,) = [each for each in bill["components"] if each["type"] == "library"]
    assert package["version"] == pin.version
    assert "not-locked" not in json.dumps(bill)
    assert "/home/" not in json.dumps(bill)


def test_a_pin_is_read_with_its_extras_and_hashes(tmp_path: Path) -> None:
    file = tmp_path / "some.lock"
    file.write_text(f"-r other.txt\nSome_Package[extra]==1.2 \\\n    --hash=sha256:{'a' * 64} \\\n    # via x\n")
    assert pins(file) == [Pin("some-package", "1.2", ("a" * 64,))]
