"""A user's own files in the store: taken as they lie there, and never served when they are not what they were."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from dlc_jupyter.errors import BadRequest, Conflict, NoSpace, Unavailable
from dlc_jupyter.storage import files as files_module
from dlc_jupyter.storage import incoming
from dlc_jupyter.storage.incoming import pieces


@pytest.fixture
def read(store):
    def read(prefix: str) -> bytes:
        _file, descriptor = store.open(prefix)
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read()

    return read


@pytest.fixture
def no_links(monkeypatch):
    """The system refuses hard links, as it does to files of other users, or between disks."""

    def refused(self, target):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(files_module.Path, "hardlink_to", refused)


@pytest.fixture
def shared_blocks(monkeypatch):
    """A file system that can share blocks: the copy is there at once and stays what it was."""

    def reflink(source, target):
        return os.sendfile(target, source, 0, os.fstat(source).st_size) > 0

    monkeypatch.setattr(files_module, "reflink", reflink)


def test_a_registered_file_is_there_without_a_copy(store, own_file, sha1, read):
    path = own_file(b"my video", "day 1.mp4")
    path.chmod(0o644)
    file = store.register(path, "day 1.mp4")
    assert (file.file_id, file.filename, file.size, file.origin) == (sha1(b"my video"), "day 1.mp4", 8, "path")
    assert read(file.file_id) == b"my video"
    assert store.path(file.file_id).samefile(path)
    assert path.stat().st_mode & 0o777 == 0o644  # it stays the user's
    assert store.used_bytes() == 0


def test_a_registered_file_survives_its_own_deletion(store, own_file, read):
    path = own_file(b"my video")
    file = store.register(path, "day1.mp4")
    path.unlink()
    assert read(file.file_id) == b"my video"
    store.delete(file.file_id)


def test_deleting_the_file_leaves_the_user_s_own_alone(store, own_file):
    path = own_file(b"my video")
    store.delete(store.register(path, "day1.mp4").file_id)
    assert path.read_bytes() == b"my video"
    assert path.stat().st_nlink == 1


def test_a_registered_file_that_later_changes_is_not_served_as_what_it_was(store, own_file, tmp_path, read):
    path = own_file(b"my video")
    file = store.register(path, "day1.mp4")
    path.write_bytes(b"recorded")  # the same size
    os.utime(path, ns=(1, 1))
    for ask in (store.open, store.path, lambda file_id: store.stage(file_id, tmp_path / "video.mp4")):
        with pytest.raises(Conflict, match=r"day1\.mp4 was changed .* Register it again") as refused:
            ask(file.file_id)
        assert refused.value.reason == "file-changed"
    again = store.register(path, "day1.mp4")
    assert read(again.file_id) == b"recorded"
    assert again.file_id != file.file_id


def test_a_changed_file_is_whole_again_when_its_old_bytes_are_sent(store, own_file, put, read):
    path = own_file(b"my video")
    file = store.register(path, "day1.mp4")
    path.write_bytes(b"something else")
    put(b"my video", "day1.mp4")
    assert read(file.file_id) == b"my video"
    assert path.read_bytes() == b"something else"
    assert store.used_bytes() == 8


def test_bytes_that_were_sent_do_not_depend_on_the_user_s_file_that_equals_them(store, own_file, put, read):
    path = own_file(b"my video")
    file = put(b"my video", "sent.mp4")
    assert store.register(path, "day1.mp4").names == ("day1.mp4", "sent.mp4")
    path.write_bytes(b"changed")
    assert read(file.file_id) == b"my video"


def test_the_same_file_registered_twice(store, own_file, read, bytes_in):
    path = own_file(b"my video")
    store.register(path, "day1.mp4")
    file = store.register(path, "day1.mp4")
    assert read(file.file_id) == b"my video"
    assert len(bytes_in(store)) == 1
    assert path.stat().st_nlink == 2


def test_of_two_equal_files_the_one_registered_last_counts(store, own_file, read, bytes_in):
    first, second = own_file(b"my video", "first.mp4"), own_file(b"my video", "second.mp4")
    store.register(first, "first.mp4")
    file = store.register(second, "second.mp4")
    assert set(file.names) == {"first.mp4", "second.mp4"}
    first.write_bytes(b"changed")
    assert read(file.file_id) == b"my video"
    assert len(bytes_in(store)) == 1


def test_an_open_descriptor_says_which_file_is_meant(store, own_file, sha1):
    path = own_file(b"my video")
    with path.open("rb") as opened:
        file = store.register(path, "day1.mp4", descriptor=opened.fileno())
        assert file.file_id == sha1(b"my video")
        assert opened.read() == b"my video"  # it stays open


def test_another_file_that_takes_the_place_of_the_open_one_is_refused(store, own_file, bytes_in):
    path, other = own_file(b"my video"), own_file(b"secrets!", "other")
    with path.open("rb") as opened:
        other.replace(path)
        with pytest.raises(Conflict) as refused:
            store.register(path, "day1.mp4", descriptor=opened.fileno())
    assert refused.value.reason == "file-changed"
    assert store.page() == []
    assert bytes_in(store) == {}


# -- copied where it has to be -----------------------------------------------------------------------------------------


def test_where_no_link_is_possible_the_file_is_copied(store, own_file, no_links, read):
    path = own_file(b"my video")
    file = store.register(path, "day1.mp4")
    assert file.origin == "path"
    path.write_bytes(b"changed")
    assert read(file.file_id) == b"my video"
    assert store.used_bytes() == 8


def test_a_file_on_another_disk_is_copied(store, another_disk, read):
    path = another_disk / "day1.mp4"
    path.write_bytes(b"my video")
    file = store.register(path, "day1.mp4")
    path.unlink()
    assert read(file.file_id) == b"my video"


def test_where_blocks_can_be_shared_nothing_depends_on_the_user_s_file(store, own_file, shared_blocks, sha1, read):
    path = own_file(b"my video")
    file = store.register(path, "day1.mp4")
    assert (file.file_id, file.size, file.origin) == (sha1(b"my video"), 8, "path")
    assert path.stat().st_nlink == 1
    path.write_bytes(b"changed")
    assert read(file.file_id) == b"my video"


def test_a_copy_for_which_there_is_no_room_is_refused(store, settings, own_file, no_links, bytes_in):
    settings.store_quota_bytes = 5
    with pytest.raises(NoSpace) as refused:
        store.register(own_file(b"my video"), "day1.mp4")
    assert refused.value.reason == "quota-exceeded"
    assert bytes_in(store) == {}


def test_a_copy_for_which_the_disk_is_too_full_is_refused(store, settings, own_file, no_links, bytes_in):
    settings.min_free_bytes = 1 << 60
    with pytest.raises(NoSpace) as refused:
        store.register(own_file(b"my video"), "day1.mp4")
    assert refused.value.reason == "disk-full"
    assert bytes_in(store) == {}


def test_a_link_takes_no_room_and_fits_into_any_quota(store, settings, own_file, put):
    put(b"another video")
    settings.store_quota_bytes = 5
    assert store.register(own_file(b"my video"), "day1.mp4").size == 8
    assert store.used_bytes() == 13


@pytest.mark.parametrize("way", ["linked", "shared"])
def test_what_takes_no_room_is_taken_on_a_nearly_full_disk(store, settings, own_file, read, request, way):
    if way == "shared":
        request.getfixturevalue("shared_blocks")
    settings.min_free_bytes = 1 << 60
    assert read(store.register(own_file(b"my video"), "day1.mp4").file_id) == b"my video"


def test_shared_bytes_count_as_stored_ones_and_what_the_quota_does_not_allow_is_linked(
    store, settings, own_file, shared_blocks
):
    settings.store_quota_bytes = 10
    store.register(own_file(b"my video", "day1.mp4"), "day1.mp4")
    assert store.used_bytes() == 8
    second = own_file(b"my other video", "day2.mp4")
    assert store.path(store.register(second, "day2.mp4").file_id).samefile(second)
    assert store.used_bytes() == 8


# -- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["linked", "copied", "shared"])
def test_an_empty_file_is_refused(store, own_file, bytes_in, request, way):
    if way != "linked":
        request.getfixturevalue({"copied": "no_links", "shared": "shared_blocks"}[way])
    with pytest.raises(BadRequest, match="is empty") as refused:
        store.register(own_file(b""), "day1.mp4")
    assert refused.value.reason == "empty-file"
    assert (store.page(), bytes_in(store)) == ([], {})


def test_folders_and_pipes_are_no_files(store, own_file, bytes_in):
    folder = own_file(b"").parent
    os.mkfifo(folder / "pipe")
    for path in (folder, folder / "pipe"):
        with pytest.raises(BadRequest) as refused:
            store.register(path, "day1.mp4")
        assert refused.value.reason == "not-a-file"
    assert (store.page(), bytes_in(store)) == ([], {})


@pytest.mark.parametrize("way", ["linked", "copied"])
def test_a_file_that_is_still_being_recorded_is_refused(store, own_file, bytes_in, monkeypatch, request, way):
    if way == "copied":
        request.getfixturevalue("no_links")
    path = own_file(b"the beginning")

    def pieces_of_what_grows(descriptor):
        with path.open("ab") as recording:
            recording.write(b" and more")
        yield from pieces(descriptor)

    monkeypatch.setattr(files_module, "pieces", pieces_of_what_grows)
    with pytest.raises(Conflict, match="Try again when it is complete") as refused:
        store.register(path, "day1.mp4")
    assert refused.value.reason == "file-changed"
    assert (store.page(), bytes_in(store)) == ([], {})


def test_a_refused_registration_leaves_the_earlier_one_as_it_was(store, own_file, read, bytes_in):
    file = store.register(own_file(b"my video", "day1.mp4"), "day1.mp4")
    copy = own_file(b"my video", "copy.mp4")
    with copy.open("rb") as opened:
        own_file(b"other", "other.mp4").replace(copy)
        with pytest.raises(Conflict):
            store.register(copy, "copy.mp4", descriptor=opened.fileno())
    assert read(file.file_id) == b"my video"
    assert store.page() == [file]
    assert len(bytes_in(store)) == 1


@pytest.mark.parametrize("way", ["linked", "copied", "shared"])
def test_a_server_that_stops_does_not_wait_for_a_file_of_gigabytes(
    store, tmp_path, bytes_in, monkeypatch, request, way
):
    if way == "copied":
        request.getfixturevalue("no_links")
    elif way == "shared":  # holes are shared at once
        monkeypatch.setattr(files_module, "reflink", lambda source, target: not os.truncate(target, 2 << 30))
    path = tmp_path / "huge.mp4"
    path.touch()
    os.truncate(path, 2 << 30)
    reading = threading.Event()

    def noticed_pieces(descriptor):
        for piece in pieces(descriptor):
            yield piece
            reading.set()

    for module in (files_module, incoming):
        monkeypatch.setattr(module, "pieces", noticed_pieces)
    refused = []

    def register():
        try:
            store.register(path, "huge.mp4")
        except Unavailable as error:
            refused.append(error.reason)

    thread = threading.Thread(target=register)
    thread.start()
    assert reading.wait(20)
    store.close()
    thread.join(20)
    assert refused == ["stopping"]
    assert (store.page(), bytes_in(store)) == ([], {})
