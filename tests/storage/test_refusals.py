"""What the store does not take: it says why, and afterwards it holds what it held before."""

from __future__ import annotations

import pytest

from dlc_jupyter.errors import BadRequest, NoSpace, TooLarge
from dlc_jupyter.settings import Settings
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.disk import disk_full
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.incoming import CHECK_EVERY


def append(incoming, size: int) -> None:
    for _ in range(size >> 20):
        incoming.append(bytes(1 << 20))


@pytest.fixture
def unchanged(store, put, bytes_in):
    """Afterwards the store holds what it held before."""
    put(b"here before")
    before = (store.page(), bytes_in(store))
    yield
    assert (store.page(), bytes_in(store)) == before


def test_an_empty_file_is_refused(put, unchanged):
    with pytest.raises(BadRequest, match="is empty") as refused:
        put(b"")
    assert refused.value.reason == "empty-file"


def test_a_file_without_a_name_is_refused(put, unchanged):
    with pytest.raises(BadRequest) as refused:
        put(b"a video", " ")
    assert refused.value.reason == "no-file-name"


def test_a_file_that_is_discarded_in_the_middle_leaves_nothing(store, unchanged):
    incoming = store.receive()
    incoming.append(b"half a vid")
    incoming.discard()


def test_more_than_the_limit_is_refused(store, settings, unchanged):
    settings.max_upload_bytes = 1 << 20
    with pytest.raises(TooLarge, match="larger than 1 MiB") as refused:
        store.receive((1 << 20) + 1)
    assert refused.value.fields == {"limit": 1 << 20}
    incoming = store.receive()
    incoming.append(bytes((1 << 20) + 1))
    with pytest.raises(TooLarge):
        incoming.finish("mouse.mp4")


def test_what_nobody_announced_is_refused_long_before_its_end(store, settings, unchanged):
    settings.max_upload_bytes = 1 << 20
    incoming = store.receive()
    with pytest.raises(TooLarge):
        append(incoming, 100 << 20)
    assert incoming.size <= CHECK_EVERY
    incoming.discard()


def test_exactly_the_limit_is_taken(store, settings):
    settings.max_upload_bytes = 1 << 20
    incoming = store.receive(1 << 20)
    incoming.append(bytes(1 << 20))
    assert incoming.finish("mouse.mp4").size == 1 << 20


def test_a_file_that_would_fill_the_disk_is_refused(store, settings, put, unchanged):
    settings.min_free_bytes = 1 << 60
    for ask in (store.receive, store.check_room, lambda: put(b"a video")):
        with pytest.raises(NoSpace, match="not enough room") as refused:
            ask()
        assert refused.value.reason == "disk-full"
    settings.min_free_bytes = 0
    with pytest.raises(NoSpace):
        store.receive(1 << 62, limit=0)


def test_more_than_the_quota_is_refused(store, settings, put, unchanged):
    settings.store_quota_bytes = 1000
    with pytest.raises(NoSpace, match="may take 1,000 bytes together") as refused:
        store.receive(1000)
    assert refused.value.reason == "quota-exceeded"
    with pytest.raises(NoSpace) as refused:
        put(bytes(1000))
    assert refused.value.reason == "quota-exceeded"


def test_files_on_their_way_count_for_the_quota_too(store, settings):
    settings.store_quota_bytes = 1000
    first, second = store.receive(600), store.receive(600)
    first.append(bytes(600))
    assert store.used_bytes() == 600
    with pytest.raises(NoSpace):
        store.receive(600)
    second.append(bytes(600))
    with pytest.raises(NoSpace):
        second.finish("second.mp4")
    first.finish("first.mp4")
    assert store.used_bytes() == 600


def test_how_many_bytes_are_lacking(store, settings, put):
    put(bytes(600))
    assert store.lacking_bytes(1 << 20) == 0
    settings.store_quota_bytes = 1000
    assert (store.lacking_bytes(), store.lacking_bytes(400), store.lacking_bytes(401)) == (0, 0, 1)
    settings.min_free_bytes = 1 << 60
    assert store.lacking_bytes() > 1 << 59


def test_a_disk_that_becomes_full_in_the_middle(small_disk):
    database = Database(database_url(small_disk, ""))
    small = FileStore(Settings(data_dir=str(small_disk), min_free_bytes=0), database)
    incoming = small.receive()
    with pytest.raises(NoSpace):
        append(incoming, 8 << 20)
    incoming.discard()
    assert small.page() == []
    assert small.used_bytes() == 0
    incoming = small.receive()
    incoming.append(bytes(1 << 20))
    incoming.finish("small enough.mp4")
    database.close()


def test_a_row_for_which_the_disk_has_no_room_leaves_no_bytes(store, put, unchanged, monkeypatch):
    def full(*row):
        raise disk_full()

    monkeypatch.setattr(store, "_write_row", full)
    for content in (b"new", b"here before"):
        with pytest.raises(NoSpace):
            put(content)
