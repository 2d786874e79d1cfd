"""MongoDB as FireWorks and jobflow-remote see it, without a server: one set of data per process."""

from unittest import mock

import mongomock_ng
from mongomock_ng.gridfs import enable_gridfs_integration
from mongomock_ng.store import ServerStore

CLIENTS = (
    "pymongo.MongoClient",
    "maggma.stores.mongolike.MongoClient",
    "fireworks.core.launchpad.MongoClient",  # bound by its module, not looked up in fw_config
)


def share_one_server(monkeypatch):
    """Let every client that the engines make from now on show the same data."""
    server = ServerStore()

    class SharedClient(mongomock_ng.MongoClient):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options | {"_store": server})

        def close(self):
            """Keep the data: mongomock-ng would drop those of all clients."""

    for client in CLIENTS:
        monkeypatch.setattr(client, SharedClient)
    enable_gridfs_integration()
    # a thread of every rocket says that it lives, which data without locks cannot bear
    monkeypatch.setattr("fireworks.core.rocket.do_ping", lambda *_: None)


def forget_gridfs():
    """Undo what mongomock-ng changes in gridfs; it starts patches of its own."""
    mock.patch.stopall()
