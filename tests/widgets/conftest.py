"""The same server as for the client: a real one, whose engine imports no DeepLabCut."""

from tests.client.conftest import client, server, video

__all__ = ["client", "server", "video"]
