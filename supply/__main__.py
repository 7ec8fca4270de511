"""``python -m supply <command>``: run from an environment that requirements-dev.lock installed."""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

from supply.bill import bill_of_materials
from supply.locks import ROOT, RUN, SERVING, TESTS, pins, serving_requirements

AUDIT, LICENCES, BILL = "pip-audit@2.10.1", "pip-licenses@5.5.5", "cyclonedx-bom==7.5.0"
CHECKER = "cyclonedx-python-lib[json-validation]==11.12.0"

PLATFORM = "--python-version", "3.11", "--python-platform", "x86_64-unknown-linux-gnu"
"""A Space's. The hashes are those of every platform's files, the packages are what this one needs."""

PLACE = ROOT / "docs" / "supply"
LICENCES_FILE, BILL_FILE = PLACE / "licences.csv", PLACE / "sbom.cdx.json"

_CHECK = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or "") or 0)
"""


def lock() -> None:
    """Resolve the requirements anew, into the three locks; packages move to their newest fit."""
    _compile("requirements-dev.txt", TESTS)
    # The other two are parts of it: what is served is what was tested.
    _compile("requirements.txt", RUN, "--constraints", TESTS)
    _compile("-", SERVING, "--constraints", TESTS, sent=serving_requirements())


def _compile(source: str, target: str, *more: str, sent: str = "") -> None:
    said_as = f"--custom-compile-command=python -m supply lock  # {target}"
    options = ["--generate-hashes", "--upgrade", "--quiet", *PLATFORM, said_as, "--output-file", target]
    _uv("pip", "compile", source, *options, *more, sent=sent)


def audit() -> None:
    """Ask PyPI's advisories about every locked package; fails on a finding."""
    _tool(AUDIT, "--requirement", TESTS, "--require-hashes", "--disable-pip", "--strict")


def licences() -> None:
    """Write the licence of every package that serving or training installs on this platform."""
    names = [pin.name for pin in pins(ROOT / RUN)]
    told = _tool(
        LICENCES, "--python", sys.executable, "--format=json", "--with-urls", "--with-system", "--packages", *names
    )
    rows = sorted(json.loads(told), key=lambda row: str(row["Name"]).lower())
    with _opened(LICENCES_FILE).open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["Name", "Version", "License", "URL"], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def sbom() -> None:
    """Write the CycloneDX bill of materials: packages with licences and hashes, networks with theirs."""
    told = _tool(BILL, "environment", sys.executable, "--spec-version=1.6", "--output-reproducible", run="cyclonedx-py")
    text = json.dumps(bill_of_materials(json.loads(told)), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    _uv("tool", "run", "--from", CHECKER, "python", "-c", _CHECK, sent=text)
    _opened(BILL_FILE).write_text(text, encoding="utf-8")


def _tool(package: str, *arguments: str, run: str = "") -> str:
    """What a tool prints that is no part of this environment."""
    which = ["--from", package, run] if run else [package]
    return _uv("tool", "run", *which, *arguments)


def _uv(*arguments: str, sent: str = "") -> str:
    """What ``uv`` prints; CalledProcessError if it fails."""
    command = [find_uv_bin(), *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, input=sent, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def _opened(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


if __name__ == "__main__":
    commands = {"lock": lock, "audit": audit, "licences": licences, "sbom": sbom}
    parser = argparse.ArgumentParser(prog="python -m supply", description=__doc__)
    parser.add_argument("command", choices=commands)
    try:
        commands[parser.parse_args().command]()
    except subprocess.CalledProcessError as failed:
        print(failed.stdout, file=sys.stderr)
        sys.exit(failed.returncode)
