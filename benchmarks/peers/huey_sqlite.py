"""A task on huey's own SQLite queue, with every option as huey has it. The peer of `start_latency.py`.

The consumer is huey's own, ``huey_consumer benchmarks.peers.huey_sqlite.huey``.
"""

import os
import time

from huey import SqliteHuey

huey = SqliteHuey(filename=os.environ["PEER_QUEUE"])


@huey.task()
def began():
    """Return when this body was reached."""
    return time.time()
