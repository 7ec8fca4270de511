"""What a Space is made of, and what a repository of weights is: paths on the Hub, and what goes there."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from huggingface_hub import ModelCard, ModelCardData, SpaceCard

from predictors.runtime import sha256_of, twin_sha256
from predictors.spec import SPEC_FILE, ModelSpec
from space.deploy.errors import DeployError
from space.page.about import CARD_FILE

ROOT = Path(__file__).parents[2]

Files = Mapping[str, Path | bytes]
"""By their path on the Hub: a file of this checkout, or the bytes of one that is made for the Hub."""

ATTRIBUTES = ".gitattributes"
SINGLE = (ATTRIBUTES, "LICENSE", "README.md", "app.py", "docs/page.png", "pre-requirements.txt", "requirements.txt")
FOLDERS = ("predictors", "space", "weights")
NOT_SERVED = "space/deploy/"
KINDS = {".bin", ".css", ".h5", ".html", ".js", ".json", ".keras", ".md", ".png", ".pth", ".py", ".svg", ".txt", ".xml"}
"""Suffixes of the files that are served: a source archive has no list of what belongs to it, as git has."""


def space_files(root: Path) -> Files:
    """Everything that a Space needs to run, and nothing else.

    In a git checkout, what git tracks; in a source archive, what is of a kind that we serve and is not hidden.
    Raises DeployError if a file is missing, or is not the one that its spec.json names.
    """
    listed = _tracked(root) if (root / ".git").exists() else _found(root)
    files = {path: root / path for path in sorted({*SINGLE, *listed}) if not path.startswith(NOT_SERVED)}
    for path, file in files.items():
        if not file.is_file():
            raise DeployError(f"{path} is missing; put it back, or unpack the source again.")
    for spec in specs(files):
        _check(spec, root / "weights" / spec.name)
    return {**files, ATTRIBUTES: _attributes((root / ATTRIBUTES).read_text(encoding="utf-8"))}


def _tracked(root: Path) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "--", *FOLDERS]
    try:
        done = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        raise DeployError("git cannot list this checkout's files; is it installed, and the checkout yours?") from None
    return [path for path in done.stdout.split("\0") if path]


def _found(root: Path) -> Iterator[str]:
    for folder in FOLDERS:
        for file in (root / folder).rglob("*"):
            path = file.relative_to(root)
            hidden = any(part.startswith((".", "__pycache__")) for part in path.parts)
            if file.suffix in KINDS and file.is_file() and not hidden:
                yield path.as_posix()


def specs(files: Files) -> list[ModelSpec]:
    """The record of every network among ``files``."""
    folders = [path.parent for path in files.values() if isinstance(path, Path) and path.name == SPEC_FILE]
    try:
        return [ModelSpec.read(folder) for folder in folders]
    except (ValueError, KeyError, TypeError):
        raise DeployError(f"A {SPEC_FILE} in weights/ cannot be read; put the shipped one back.") from None


def _check(spec: ModelSpec, folder: Path) -> None:
    """Large files are easily others than one thinks: cut short, or only Git LFS's pointers to them."""
    if spec.hub is not None:
        return
    weights, twin = folder / spec.weights.file, folder / spec.twin.file if spec.twin else None
    try:
        fits = sha256_of(weights) == spec.weights.sha256 and (
            spec.twin is None or twin is None or twin_sha256(twin) == spec.twin.sha256
        )
    except FileNotFoundError:
        fits = False
    if not fits:
        raise DeployError(f"The weights of {spec.name} are not the ones its {SPEC_FILE} names; fetch them again.")


def _attributes(ours: str) -> bytes:
    """Our ``.gitattributes`` as the Hub wants it: what is binary goes through large-file storage there."""
    return ours.replace(" binary\n", " filter=lfs diff=lfs merge=lfs -text\n").encode()


def is_large(path: str, files: Files) -> bool:
    """Whether the ``.gitattributes`` among ``files`` puts ``path`` into large-file storage."""
    attributes = files[ATTRIBUTES]
    assert isinstance(attributes, bytes)  # noqa: S101  # every tree that we make has its own
    patterns = [line.split()[0] for line in attributes.decode().splitlines() if "filter=lfs" in line]
    return any(fnmatch(PurePosixPath(path).name, pattern) for pattern in patterns)


def weights_files(files: Files) -> Files:
    """A model repository of the networks among a Space's ``files``: a folder each, its card as its README."""
    networks = [spec for spec in specs(files) if spec.hub is None]
    here = {PurePosixPath("weights", spec.name): spec for spec in networks}
    moved = {
        f"{here[folder].name}/{'README.md' if path.endswith(CARD_FILE) else PurePosixPath(path).name}": source
        for path, source in files.items()
        if (folder := PurePosixPath(path).parent) in here
    }
    return {
        **moved,
        ATTRIBUTES: files[ATTRIBUTES],
        "README.md": _card(networks).encode(),
        "LICENSE.md": _licence(networks).encode(),
    }


def pinned(files: Files, repository: str, revision: str) -> Files:
    """A Space's ``files`` with the networks left on the Hub: each spec names ``repository`` at ``revision``.

    The front matter asks the Space to fetch the compiled networks when it is built, so that no wake has to; it is
    saved where ``predictors.runtime`` looks. The weights that they were made from stay where they are.
    """
    kept = dict(files)
    fetched: list[str] = []
    for spec in specs(files):
        if spec.hub is not None:
            continue
        folder = f"weights/{spec.name}"
        record = json.loads(_bytes(files[f"{folder}/{SPEC_FILE}"]))
        for key in ("weights", "twin"):
            if record.get(key):
                record[key]["file"] = f"{spec.name}/{record[key]['file']}"
        record["hub"] = {"repo": repository, "revision": revision}
        kept[f"{folder}/{SPEC_FILE}"] = (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
        moved = [spec.weights.file]
        if spec.twin:
            compiled = [spec.twin.file, str(PurePosixPath(spec.twin.file).with_suffix(".bin"))]
            moved += compiled
        for name in moved:
            del kept[f"{folder}/{name}"]
        fetched += [f"{spec.name}/{name}" for name in (compiled if spec.twin else moved)]
    card = SpaceCard(_bytes(files["README.md"]).decode())
    card.data["models"] = [repository]
    card.data["preload_from_hub"] = [f"{repository} {','.join(fetched)} {revision}"]
    return {**kept, "README.md": str(card).encode()}


def _bytes(content: Path | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _card(networks: list[ModelSpec]) -> str:
    """The front page of a repository of weights, with what the Hub reads from it."""
    data = ModelCardData(
        license="other",
        license_name="see-each-network",
        license_link="LICENSE.md",
        library_name="openvino",
        pipeline_tag="image-classification",
        tags=["radiography", "medical-imaging", "image-classification", "grad-cam", "keras", "pytorch", "openvino"],
    )
    rows = "\n".join(
        f"| [`{spec.name}`]({spec.name}/README.md) | {spec.title} | {spec.architecture} ({spec.framework}) | "
        f"{', '.join(spec.labels)} | {spec.version} | {spec.licence} |"
        for spec in networks
    )
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n")
    card.text = f"""
# Second Look: the networks

Radiograph classifiers of the Space Second Look. In each folder: the weights file of record, its compiled twin
(OpenVINO), `spec.json` with all that serving must know, and the card with its figures and how they were measured.

**For research and teaching only. Not a medical device; not for diagnosis or for any decision about a patient.**

| folder | network | architecture | labels | version | licence |
|---|---|---|---|---|---|
{rows}
"""
    return str(card)


def _licence(networks: list[ModelSpec]) -> str:
    entries = "\n".join(
        f"\n## {spec.title} (`{spec.name}`): {spec.licence}\n\n" + "\n".join(f"- {source}" for source in spec.data)
        for spec in networks
    )
    return f"# Licences\n\nEach network has its own, as the films that it learnt from ask.\n{entries}\n"
