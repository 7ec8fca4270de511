"""The command: ``python -m space.deploy <owner>/<space>``."""

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub.constants
from huggingface_hub import HfApi

from predictors.spec import SPEC_FILE
from space.deploy.answers import call_every_route
from space.deploy.commits import Change, Repository, compare, restore
from space.deploy.errors import MISNAMED, DeployError, told_plainly
from space.deploy.files import ROOT, Files, pinned, space_files, specs, weights_files
from space.deploy.stages import Patience, wait_until_running

SPACE_MARK = "predictors/registry.py"
WEIGHTS_MARK = f"scope/{SPEC_FILE}"


def main(
    arguments: Sequence[str] | None = None, *, root: Path = ROOT, endpoint: str | None = None, pause: float = 5
) -> int:
    """Deploy the checkout at ``root`` as ``arguments`` say, looking every ``pause`` seconds; returns the exit code.

    0: it runs and answers (or, with --dry-run, it would be tried). 1: refused, and nothing runs that did not run
    before. 2: the command was not understood. 3: the files are on the Hub, but the Space does not run or answer.
    """
    chosen = _arguments(arguments)
    chosen.root = root
    api = HfApi(endpoint=endpoint or huggingface_hub.constants.ENDPOINT, token=chosen.token)
    try:
        with told_plainly():
            _may_write(api, reading=chosen.dry_run)
            commit = _rolled_back(api, chosen) if chosen.rollback else _deployed(api, chosen)
            if commit:
                _see_it_run(api, chosen, commit, Patience.of(chosen.timeout, pause))
    except DeployError as error:
        said = str(error)
        print(said.replace(chosen.token, "(token)") if chosen.token else said, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Stopped here; what is on the Hub stays there.", file=sys.stderr)
        return 130
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m space.deploy", description="Put this checkout on the Hub.")
    parser.add_argument("space", help="<owner>/<space>; created if it is missing")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, and change nothing")
    parser.add_argument("--weights-repo", metavar="OWNER/NAME", help="keep the networks in this model repository")
    parser.add_argument("--rollback", action="store_true", help="put the Space's previous commit back")
    parser.add_argument("--private", action="store_true", help="create the Space as a private one")
    parser.add_argument("--hardware", help="such as cpu-upgrade; default: what the Hub gives, or what it has")
    parser.add_argument("--token", help="default: HF_TOKEN, or the login saved by `hf auth login`")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds to wait for the Space (default 1800)")
    chosen = parser.parse_args(arguments)
    for name in filter(None, (chosen.space, chosen.weights_repo)):
        if not re.fullmatch(r"[a-zA-Z0-9][\w.-]*/[a-zA-Z0-9][\w.-]*", name, re.ASCII):
            parser.error(f"{MISNAMED}: not {name!r}")
    if chosen.rollback and (chosen.weights_repo or chosen.private or chosen.hardware):
        parser.error("--rollback takes the previous commit as it was; leave the other options out")
    if chosen.private and chosen.weights_repo:
        parser.error("a private Space could not read a model repository that is as private; leave one option out")
    return chosen


def _may_write(api: HfApi, reading: bool) -> None:
    me = api.whoami()
    role = me.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read" and not reading:
        raise DeployError("The token can only read; make one that can write at hf.co/settings/tokens.")


def _deployed(api: HfApi, chosen: argparse.Namespace) -> str | None:
    """The commit that the Space is to run; None for a dry run."""
    files = space_files(chosen.root)
    for spec in specs(files):
        if spec.twin is None:
            print(f"Note: {spec.name} has no compiled twin, so that each start of the Space converts it.")
    here = Repository(api, chosen.space, "space", SPACE_MARK)
    if chosen.weights_repo:
        _compared(here, files)  # a Space that is not ours to change is refused before anything is sent
        networks = _compared(Repository(api, chosen.weights_repo, "model", WEIGHTS_MARK), weights_files(files))
        revision = _sent(networks, chosen)
        files = pinned(files, chosen.weights_repo, revision or networks.head or "the commit above")
    change = _compared(here, files)
    commit = _sent(change, chosen)
    if commit and change.head and chosen.hardware:
        _give(api, chosen.space, chosen.hardware)
    return commit


def _compared(repository: Repository, files: Files) -> Change:
    # Of a model repository only the networks' folders are ours to tidy.
    folders = {f"{path.partition('/')[0]}/" for path in files if "/" in path}
    return compare(repository, files, None if repository.kind == "space" else sorted(folders), repository.head())


def _sent(change: Change, chosen: argparse.Namespace) -> str | None:
    """Say what changes, and change it, in one commit; returns the commit, or None for a dry run."""
    print("\n".join(change.lines()), flush=True)
    repository = change.repository
    if change.head:
        private = repository.api.repo_info(repository.name, repo_type=repository.kind).private
        if repository.kind == "model" and private:
            raise DeployError(f"{repository.name} is private, so that the Space could not read it; make it public.")
        if chosen.private and not private:
            raise DeployError(f"{repository.name} exists and is public; make it private in its settings first.")
    if chosen.dry_run:
        return None
    if change.head is None:
        if repository.kind == "space":
            repository.api.create_repo(
                repository.name,
                repo_type="space",
                space_sdk="gradio",
                private=chosen.private or None,  # None: as the owner's settings have it
                space_hardware=chosen.hardware,
            )
        else:
            repository.api.create_repo(repository.name, private=False)
        change = _compared(repository, change.files)  # it holds what the Hub puts into a new one
    return change.commit(f"Second Look {_version(chosen.root)}")


def _version(root: Path) -> str:
    """The project's version, and in a git checkout the commit that it was deployed from."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    if not (root / ".git").exists():
        return str(project["version"])
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    return f"{project['version']} ({done.stdout.strip() or 'unknown source'})"


def _give(api: HfApi, space: str, hardware: str) -> None:
    runtime = api.get_space_runtime(space)
    if hardware not in (runtime.hardware, runtime.requested_hardware):
        api.request_space_hardware(space, hardware)  # type: ignore[arg-type]  # the Hub knows more kinds than its client


def _rolled_back(api: HfApi, chosen: argparse.Namespace) -> str | None:
    repository = Repository(api, chosen.space, "space", SPACE_MARK)
    head = repository.head()
    if head is None:
        raise DeployError(f"There is no Space {chosen.space} to roll back, or the token may not see it.")
    commit, lines = restore(repository, head, chosen.dry_run)
    print("\n".join(lines), flush=True)
    return None if chosen.dry_run else commit


def _see_it_run(api: HfApi, chosen: argparse.Namespace, commit: str, patience: Patience) -> None:
    print(f"Waiting for {commit[:8]} to run:", flush=True)
    address = wait_until_running(api, chosen.space, commit, patience)
    print(f"Calling every route of {address}:", flush=True)
    kinds = {spec.name: spec.scope for spec in specs(space_files(chosen.root)) if spec.scope}
    count = call_every_route(address, chosen.token, kinds, patience)
    print(f"{count} routes answer. The Space: {api.endpoint}/spaces/{chosen.space}; the app: {address}")


if __name__ == "__main__":
    sys.exit(main())
