"""A workspace: the folders of an office as one person, or one machine with its keys, sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blocklist.base import durable
from blocklist.base.errors import UsageError
from blocklist.base.i18n import _
from blocklist.keys.folder import KeyFolder
from blocklist.register import documents
from blocklist.register.documents import MAX_FILE
from blocklist.store.store import Store, how_to_start

SHIPPED = ("protected.yaml", "platforms.yaml")
DEFAULT_LIST = "apology-of-terrorism"


class Workspace:
    """A folder with `lists/` and `exports/`, as one person or machine with a key folder sees it.

    Args:
        path: The folder.
        keys: The key folder.
        list_id: The list that is meant, where there are several.
        database: The URL of the register's database, where the command line names it.
    """

    def __init__(self, path: Path, keys: KeyFolder, list_id: str | None = None, database: str | None = None) -> None:
        self.path = path
        self.keys = keys
        self.list_id = list_id
        self.database = database
        self.lists = path / "lists"
        self.trust = self.lists / "trust"
        self.exports = path / "exports"

    def policy_files(self, list_id: str) -> dict[str, bytes]:
        """See `read_policy_files`; the files are those in `lists/`."""
        return read_policy_files(self.lists, list_id)

    def open_store(self, *, create: bool = False, read_only: bool = False) -> Store:
        """Open the register's database; see `Store`."""
        return Store(self.lists, self.database, create=create, read_only=read_only)

    def only_list(self) -> str:
        """The id of the list that was named, or of the only one there is.

        Raises:
            UsageError: There is none, or there are several and none was named, or it is not here.
        """
        store = self.open_store()
        try:
            lists = store.lists()
        finally:
            store.close()
        return self.chosen(lists)

    def chosen(self, lists: Sequence[str]) -> str:
        """The one of these lists that was named, or the only one.

        Raises:
            UsageError: See `only_list`.
        """
        if not lists:
            raise UsageError(_("{lists} holds no register", lists=self.lists), how_to_start(self.lists))
        if self.list_id is None and len(lists) == 1:
            return lists[0]
        there = ", ".join(lists)
        if self.list_id is None:
            raise UsageError(_("this workspace has several lists: {lists}", lists=there), _("name one with --list"))
        if self.list_id not in lists:
            raise UsageError(
                _("this workspace has no list {list_id}; it has {lists}", list_id=self.list_id, lists=there),
                _("check --list; 'blocklist init --list {list_id}' founds it", list_id=self.list_id),
            )
        return self.list_id


def read_policy_files(folder: Path, list_id: str) -> dict[str, bytes]:
    """The files of a list's policy, by name: its own and those that it names, as far as they are there.

    Raises:
        UsageError: One cannot be read, or the policy's own file is not there.
    """
    name = f"{list_id}.yaml"
    hint = _("write one, or choose a list that is shipped")
    content = durable.read(folder / name, _("the policy"), MAX_FILE, hint)
    others = [folder / other for other in documents.file_names(content, list_id)[1:]]
    return {name: content} | {
        path.name: durable.read(path, _("the policy file"), MAX_FILE) for path in others if path.exists()
    }
