"""A repository on the Hub: what it holds, what would change, and the one commit that changes it."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import sha

from space.deploy.errors import DeployError, one_line
from space.deploy.files import ATTRIBUTES, Files, is_large

_NEW = {ATTRIBUTES, "README.md"}
"""What the Hub itself puts into a repository that it creates."""


@dataclass(frozen=True)
class Repository:
    """A Space or a model repository. ``mark`` is a file by which one of ours is known from someone else's."""

    api: HfApi
    name: str
    kind: Literal["space", "model"]
    mark: str

    @property
    def url(self) -> str:
        """Its page on the Hub."""
        return f"{self.api.endpoint}/{'spaces/' if self.kind == 'space' else ''}{self.name}"

    def head(self) -> str | None:
        """The latest commit; None if there is no such repository."""
        try:
            return self.api.repo_info(self.name, repo_type=self.kind).sha
        except RepositoryNotFoundError:
            return None

    def held(self, commit: str) -> dict[str, RepoFile]:
        """Every file of a commit, by its path."""
        tree = self.api.list_repo_tree(self.name, repo_type=self.kind, revision=commit, recursive=True)
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    def attributes(self, commit: str) -> set[str]:
        """The lines of a commit's ``.gitattributes``."""
        with tempfile.TemporaryDirectory() as folder:
            file = self.api.hf_hub_download(
                self.name, ATTRIBUTES, repo_type=self.kind, revision=commit, local_dir=folder
            )
            return set(Path(file).read_text(encoding="utf-8").splitlines())


@dataclass(frozen=True)
class Change:
    """What makes a repository hold ``files``. ``head`` is the commit that it was compared at; None for a new one."""

    repository: Repository
    files: Files
    head: str | None
    added: list[str]
    updated: list[str]
    deleted: list[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.deleted)

    def lines(self) -> Iterator[str]:
        """What a person reads of it."""
        state = "to be created" if self.head is None else f"at {self.head[:8]}"
        yield f"{self.repository.url} ({state})"
        for word, paths in (("add", self.added), ("update", self.updated)):
            for path in paths:
                stored = "large-file storage" if is_large(path, self.files) else ""
                yield f"  {word:<7} {path:<44} {_size(self._bytes(path)):>9}  {stored}".rstrip()
        for path in self.deleted:
            yield f"  delete  {path}"
        sent = [*self.added, *self.updated]
        total = _size(sum(map(self._bytes, sent)))
        same = len(self.files) - len(sent)
        yield f"  {len(sent)} files to send ({total}), {same} unchanged, {len(self.deleted)} to delete"

    def _bytes(self, path: str) -> int:
        content = self.files[path]
        return len(content) if isinstance(content, bytes) else content.stat().st_size

    def commit(self, message: str) -> str:
        """Make it, as one commit; returns that commit, or the present one if nothing changes.

        Which files go through large-file storage is the Hub's to say: it knows our ``.gitattributes`` and sees what
        is binary. Its client then uses Xet, or Git LFS where HF_HUB_DISABLE_XET asks for it. What arrived is
        compared with what was sent.
        """
        assert self.head is not None  # noqa: S101  # only an existing repository has a commit to follow
        if not self:
            return self.head
        repository = self.repository
        try:
            made = repository.api.create_commit(
                repository.name,
                [
                    *(CommitOperationDelete(path) for path in self.deleted),
                    *(CommitOperationAdd(path, self.files[path]) for path in (*self.added, *self.updated)),
                ],
                commit_message=message,
                repo_type=repository.kind,
                parent_commit=self.head,
            )
        except (ValueError, RuntimeError) as error:  # refused front matter, an upload that broke off
            raise DeployError(f"The Hub's client gave up: {one_line(str(error))}") from None
        wrong = compare(repository, self.files, self.deleted, made.oid)
        if wrong:
            path = (*wrong.added, *wrong.updated, *wrong.deleted)[0]
            raise DeployError(f"The Hub does not hold {path} as it was sent; start again.")
        return made.oid


def compare(repository: Repository, files: Files, owned: list[str] | None, head: str | None) -> Change:
    """What it takes for ``repository`` to hold ``files``: of what else it holds, ``owned`` goes (None: all of it).

    Raises DeployError for a repository that holds something else than one of ours.
    """
    held = repository.held(head) if head else {}
    if held and repository.mark not in held and not held.keys() <= _NEW:
        raise DeployError(f"{repository.name} holds something else; name an empty repository, or a new one.")
    updated = [path for path, content in files.items() if path in held and not _same(content, held[path])]
    if head and ATTRIBUTES in updated:
        # The Hub adds a line of its own for a large file that no line of ours speaks of.
        ours = files[ATTRIBUTES]
        if isinstance(ours, bytes) and repository.attributes(head).issuperset(ours.decode().splitlines()):
            updated.remove(ATTRIBUTES)
    return Change(
        repository,
        files,
        head,
        added=[path for path in files if path not in held],
        updated=updated,
        deleted=[path for path in held if path not in files and (owned is None or path.startswith(tuple(owned)))],
    )


def _same(content: Path | bytes, held: RepoFile) -> bool:
    data = content if isinstance(content, bytes) else content.read_bytes()
    if held.lfs:
        return hashlib.sha256(data).hexdigest() == held.lfs.sha256
    return sha.git_hash(data) == held.blob_id


def restore(repository: Repository, head: str, dry_run: bool) -> tuple[str, list[str]]:
    """Put back the files of the commit before ``head``, as one more commit; returns it and what it changes.

    The Hub has no way to move a branch back, and a Space's history should show what happened. Nothing is uploaded:
    large files are named by their hash, which the Hub still stores. Doing it twice brings the newer files back.
    """
    commits = repository.api.list_repo_commits(repository.name, repo_type=repository.kind)
    before = commits[1].commit_id if len(commits) > 1 else None
    wanted = repository.held(before) if before else {}
    if before is None or repository.mark not in wanted:
        raise DeployError(f"{repository.name} has no earlier release to go back to.")
    held = repository.held(head)
    copied = [path for path, file in wanted.items() if path not in held or held[path].blob_id != file.blob_id]
    deleted = [path for path in held if path not in wanted]
    lines = [f"{repository.url} (at {head[:8]}, back to {before[:8]}: {_title(commits[1].title)})"]
    lines += [f"  restore {path}" for path in copied] + [f"  delete  {path}" for path in deleted]
    if dry_run or not (copied or deleted):
        return head, lines
    made = repository.api.create_commit(
        repository.name,
        [
            *(CommitOperationDelete(path) for path in deleted),
            *(CommitOperationCopy(path, path, src_revision=before) for path in copied),
        ],
        commit_message=f"Back to {before[:8]}",
        repo_type=repository.kind,
        parent_commit=head,
    )
    return made.oid, lines


def _title(title: str) -> str:
    """A commit's title without control characters: it may be anyone's, and a terminal obeys them."""
    return re.sub(r"[^\x20-\x7e\xa0-\uffff]", " ", title)[:80]


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
