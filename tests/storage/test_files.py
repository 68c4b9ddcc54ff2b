"""The store: what comes in is there under its SHA-1, once, whole, and under every name it came in with."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dlc_jupyter.errors import Ambiguous, Conflict, NotFound


@pytest.fixture
def read(store):
    def read(prefix: str) -> bytes:
        _file, descriptor = store.open(prefix)
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read()

    return read


@pytest.fixture
def own_path(store, sha1):
    """Where stored bytes lie."""

    def own_path(content: bytes) -> Path:
        return store.content / sha1(content)[:2] / sha1(content)[2:]

    return own_path


# -- the same bytes are the same file ----------------------------------------------------------------------------------


def test_a_file_is_named_by_the_sha1_of_its_bytes(store, put, sha1, read, clock):
    file = put(b"a video", "mouse.mp4")
    assert file.file_id == sha1(b"a video")
    assert (file.filename, file.names, file.size, file.origin) == ("mouse.mp4", ("mouse.mp4",), 7, "upload")
    assert (file.content_type, file.created, file.used) == ("video/mp4", clock.now, clock.now)
    assert read(file.file_id) == b"a video"
    assert store.find(file.file_id) == file


def test_the_file_as_json(put):
    assert put(b"a video", "mouse.mp4").as_json() == {
        "file_id": "76de79eb37427557387833ddef31fd3381a97a7e",
        "filename": "mouse.mp4",
        "names": ["mouse.mp4"],
        "content_type": "video/mp4",
        "size": 7,
        "created": "1970-01-12T13:46:40.000+00:00",
        "origin": "upload",
        "media": None,
    }


def test_the_same_bytes_are_stored_once_and_keep_both_names(store, put, bytes_in, clock):
    put(b"a video", "mouse.mp4")
    clock.now += 1
    file = put(b"a video", "day 1.avi")
    assert (file.filename, file.names) == ("day 1.avi", ("day 1.avi", "mouse.mp4"))
    assert file.content_type == "video/x-msvideo"
    assert (file.created, file.used) == (clock.now - 1, clock.now)
    assert sum(bytes_in(store).values()) == 7
    assert store.page() == [file]
    clock.now += 1
    assert put(b"a video", "mouse.mp4").names == ("mouse.mp4", "day 1.avi")


def test_two_files_of_the_same_name_are_two_files(store, put, read):
    first, second = put(b"first", "mouse.mp4"), put(b"second", "mouse.mp4")
    assert (read(first.file_id), read(second.file_id)) == (b"first", b"second")


def test_stored_bytes_cannot_be_written_to_and_belong_to_nobody_else(store, put):
    path = store.path(put(b"a video").file_id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    for folder in (store.root, store.content, store.incoming, path.parent):
        assert not stat.S_IMODE(folder.stat().st_mode) & 0o022
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_name_is_cleaned_and_the_type_believed_where_it_says_something(put):
    assert put(b"1", "../../etc/mouse\n.mp4", content_type="application/octet-stream").filename == "mouse.mp4"
    assert put(b"2", "mouse.mp4", content_type="application/octet-stream").content_type == "video/mp4"
    assert put(b"3", "mouse.mp4", content_type="text/plain").content_type == "text/plain"


def test_bytes_that_got_lost_are_there_again_when_they_are_sent_again(store, put, read, own_path):
    file = put(b"a video")
    own_path(b"a video").unlink()
    with pytest.raises(NotFound, match=r"mouse\.mp4 are gone .* Send the file again") as refused:
        store.open(file.file_id)
    assert refused.value.reason == "file-lost"
    put(b"a video")
    assert read(file.file_id) == b"a video"


def test_a_file_that_became_shorter_is_not_served_but_mended(store, put, read, own_path):
    file = put(b"a video")
    own_path(b"a video").chmod(0o600)
    os.truncate(own_path(b"a video"), 3)
    for ask in (store.open, store.path):
        with pytest.raises(NotFound) as refused:
            ask(file.file_id)
        assert refused.value.reason == "file-lost"
    put(b"a video")
    assert read(file.file_id) == b"a video"


# -- found by the first characters -------------------------------------------------------------------------------------


@pytest.fixture
def alike(put, sha1):
    """Store twelve files whose ids begin with the same two characters."""
    contents = (str(number).encode() for number in range(100_000))
    return [put(content) for content, _ in zip((c for c in contents if sha1(c)[:2] == "ab"), range(12), strict=False)]


def test_the_first_characters_of_an_id_will_do(store, put):
    file = put(b"a video")
    for length in (1, 7, 39, 40):
        assert store.find(file.file_id[:length]) == file
    assert store.find(file.file_id[:10].upper()) == file


def test_first_characters_that_fit_several_files_are_refused_and_ten_of_those_named(store, alike):
    with pytest.raises(Ambiguous, match="give more characters") as refused:
        store.find("ab")
    assert refused.value.fields["matches"] == sorted(file.file_id for file in alike)[:10]
    assert store.find(alike[3].file_id[:12]) == alike[3]


@pytest.mark.parametrize(
    "prefix", ["", "0" * 41, "g", "xyz", "%", "_", "..", "%%", "____", "ab%", "a_", "../files", " ", "ａ", "ab\0", "'"]
)
def test_what_is_no_id_is_not_found_and_matches_nothing(store, put, prefix):
    put(b"a video")
    with pytest.raises(NotFound, match="There is no file") as refused:
        store.find(prefix)
    assert refused.value.reason == "unknown-file"
    assert len(refused.value.message) < 120
    for ask in (store.path, store.delete, lambda prefix: store.page(after=prefix or "-")):
        with pytest.raises(NotFound):
            ask(prefix)
    assert len(store.page()) == 1


def test_only_a_whole_id_deletes(store, put):
    file = put(b"a video")
    with pytest.raises(NotFound):
        store.delete(file.file_id[:39])


def test_pages_newest_first(store, put):
    files = [put(str(number).encode()) for number in range(5)][::-1]
    assert store.page() == files
    assert store.page(2) == files[:2]
    assert store.page(2, after=files[1].file_id) == files[2:4]
    assert store.page(after=files[4].file_id) == []
    with pytest.raises(NotFound):
        store.page(after="0" * 40)


# -- what an analysis has made -----------------------------------------------------------------------------------------


@pytest.fixture
def made(store):
    """Write a file into the scratch folder of an analysis."""

    def made(content: bytes) -> Path:
        path = store.root / "scratch" / "output.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return made


def test_an_output_moves_into_the_store(store, made, read, bytes_in):
    path = made(b"poses")
    inode = path.stat().st_ino
    file = store.add(path, "poses.csv", origin="a1")
    assert (file.origin, file.content_type, file.size) == ("a1", "text/csv", 5)
    assert read(file.file_id) == b"poses"
    assert store.path(file.file_id).stat().st_ino == inode
    assert not path.exists()
    assert len(bytes_in(store)) == 1


def test_an_output_that_is_there_already_is_not_stored_twice(store, put, made, bytes_in):
    file = put(b"poses", "mine.csv")
    path = made(b"poses")
    assert store.add(path, "poses.csv", origin="a1").file_id == file.file_id
    assert not path.exists()
    assert len(bytes_in(store)) == 1


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_an_output_that_is_a_link_is_copied_and_what_it_leads_to_left_alone(store, made, own_file, read, link):
    mine = own_file(b"my own")
    path = made(b"")
    path.unlink()
    getattr(path, link)(mine)
    file = store.add(path, "poses.csv", origin="a1")
    mine.write_bytes(b"changed")
    assert read(file.file_id) == b"my own"
    assert not path.is_symlink()
    assert not path.exists()
    assert mine.read_bytes() == b"changed"


def test_an_output_on_another_disk_is_copied(store, another_disk, read):
    path = another_disk / "output.csv"
    path.write_bytes(b"poses")
    assert read(store.add(path, "poses.csv", origin="a1").file_id) == b"poses"
    assert not path.exists()


def test_what_somebody_brings_is_theirs_even_where_an_analysis_has_made_it_too(store, put, made):
    brought, both = put(b"brought"), store.add(made(b"made"), "poses.csv", origin="a1")
    assert store.add(made(b"brought"), "poses.csv", origin="a1").origin == "upload"
    assert put(b"made").origin == "upload"
    store.discard([brought.file_id, both.file_id])
    assert len(store.page()) == 2


# -- bytes out ---------------------------------------------------------------------------------------------------------


def test_a_file_that_is_being_read_can_be_deleted(store, put):
    file, descriptor = store.open(put(b"a video").file_id[:6])
    store.delete(file.file_id)
    assert os.read(descriptor, 100) == b"a video"
    os.close(descriptor)


def test_a_file_that_is_deleted_between_finding_and_opening_it_is_gone_and_no_error(store, put, own_path, monkeypatch):
    file = put(b"a video")
    find = store.find

    def find_too_early(prefix):
        found = find(prefix)
        store.delete(found.file_id)
        return found

    monkeypatch.setattr(store, "find", find_too_early)
    with pytest.raises(NotFound):
        store.open(file.file_id)


def test_staging_makes_the_bytes_readable_under_another_name_without_a_copy(store, put, tmp_path):
    file = put(b"a video")
    store.stage(file.file_id, tmp_path / "video.mp4")
    assert (tmp_path / "video.mp4").samefile(store.path(file.file_id))
    assert not (tmp_path / "video.mp4").is_symlink()


def test_staging_on_another_disk(store, put, another_disk):
    file = put(b"a video")
    store.stage(file.file_id, another_disk / "video.mp4")
    assert (another_disk / "video.mp4").read_bytes() == b"a video"


def test_staging_over_something_is_refused(store, put, tmp_path):
    (tmp_path / "video.mp4").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        store.stage(put(b"a video").file_id, tmp_path / "video.mp4")
    assert (tmp_path / "video.mp4").read_bytes() == b"mine"


def test_staging_what_is_not_there(store, put, tmp_path, own_path):
    with pytest.raises(NotFound):
        store.stage("0" * 40, tmp_path / "video.mp4")
    file = put(b"a video")
    own_path(b"a video").unlink()
    with pytest.raises(NotFound):
        store.stage(file.file_id, tmp_path / "video.mp4")
    assert not (tmp_path / "video.mp4").is_symlink()


def test_staging_what_is_deleted_at_this_very_moment_leaves_no_link_to_nowhere(store, put, tmp_path, monkeypatch):
    path = store.path

    def path_too_early(file_id):
        found = path(file_id)
        store.delete(file_id)
        return found

    monkeypatch.setattr(store, "path", path_too_early)
    with pytest.raises(FileNotFoundError):
        store.stage(put(b"a video").file_id, tmp_path / "video.mp4")
    assert not (tmp_path / "video.mp4").is_symlink()


# -- files gone --------------------------------------------------------------------------------------------------------


def test_a_deleted_file_is_gone_with_its_bytes_and_names(store, put, bytes_in):
    file = put(b"a video", "one.mp4")
    put(b"a video", "two.mp4")
    store.delete(file.file_id)
    assert store.page() == []
    assert bytes_in(store) == {}
    with pytest.raises(NotFound):
        store.delete(file.file_id)
    assert put(b"a video", "three.mp4").names == ("three.mp4",)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_file_in_use_cannot_be_deleted(store, put, taken_by, ended, read, state):
    file = put(b"a video")
    taken_by("a1", state, file.file_id)
    with pytest.raises(Conflict, match="Cancel it, or wait") as refused:
        store.delete(file.file_id)
    assert refused.value.reason == "file-in-use"
    assert refused.value.fields == {"analyses": ["a1"]}
    assert read(file.file_id) == b"a video"
    ended("a1")
    store.delete(file.file_id)


def test_a_file_that_was_used_lately_or_was_made_by_a_listed_analysis_stays(store, put, taken_by, clock):
    used, made = put(b"used"), put(b"made")
    taken_by("a1", "succeeded", made.file_id, role="output")
    for file, since in ((used, clock.now - 1), (made, clock.now)):
        with pytest.raises(Conflict, match="used meanwhile"):
            store.delete(file.file_id, unused_since=since)
    store.delete(used.file_id, unused_since=clock.now)
    assert store.page() == [made]


def test_discarding_outputs_spares_what_something_else_names(store, put, made, taken_by):
    alone = store.add(made(b"alone"), "alone.csv", origin="a1")
    shared = store.add(made(b"shared"), "shared.csv", origin="a1")
    brought = put(b"brought")
    taken_by("a2", "succeeded", shared.file_id)
    store.discard([alone.file_id, "0" * 40, shared.file_id, brought.file_id])
    assert store.page() == [brought, shared]


def test_bytes_that_no_row_names_are_found_and_reclaimed(store, put, sha1):
    named = put(b"named")
    lost = store.content / "ab" / ("c" * 38)
    lost.parent.mkdir(exist_ok=True)
    lost.write_bytes(b"left by a crash")
    ((file_id, status),) = store.nameless()
    assert (file_id, status.st_size) == ("ab" + "c" * 38, 15)
    assert store.reclaim(file_id)
    assert not lost.exists()
    assert store.nameless() == []
    assert not store.reclaim(named.file_id)
    assert store.path(named.file_id).exists()


def test_what_a_videos_container_says_is_kept_with_the_file(store, put):
    file_id = put(b"a video").file_id
    assert store.find(file_id).as_json()["media"] is None
    store.note_media(file_id, {"codec": "h264", "frames": 3})
    store.note_media(file_id, {"codec": "h264", "frames": 4})
    assert store.find(file_id).as_json()["media"] == {"codec": "h264", "frames": 4}
    assert store.page()[0].media == {"codec": "h264", "frames": 4}
    store.delete(file_id)
    store.note_media(file_id, {"codec": "h264", "frames": 4})  # gone meanwhile
    assert put(b"a video").media is None
