"""Unfinished uploads: what has come is exact after any end of their writer, and becomes a file as any other."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import threading

import pytest

from dlc_jupyter.errors import (
    BadRequest,
    ChecksumMismatch,
    Conflict,
    Gone,
    Locked,
    NoSpace,
    NotFound,
    Refusal,
    TooLarge,
    Unavailable,
)
from dlc_jupyter.storage import upload_writer
from dlc_jupyter.storage.content import Content
from dlc_jupyter.storage.database import Database, database_url
from dlc_jupyter.storage.files import FileStore
from dlc_jupyter.storage.incoming import GrowingFile, try_lock
from dlc_jupyter.storage.upload_writer import Checksum, Writer
from dlc_jupyter.storage.uploads import HOUR, Uploads

MIB = 1 << 20
VIDEO = random.Random(1).randbytes(3 * MIB + 7)
PIECE = 1 << 18


@pytest.fixture
def uploads(store) -> Uploads:
    return Uploads(store)


@pytest.fixture
def begun(uploads):
    """An upload of `VIDEO` for anna, of which nothing has come yet."""
    return uploads.create("anna", "mouse.mp4", len(VIDEO))


def sha1_of(content: bytes, expected: bytes | None = None) -> Checksum:
    """The checksum of a request with this content."""
    return Checksum(hashlib.sha1(), hashlib.sha1(content if expected is None else expected).digest())


def append(writer: Writer, content: bytes) -> Writer:
    for start in range(0, len(content), PIECE):
        writer.append(content[start : start + PIECE])
    return writer


def send(uploads: Uploads, upload, content: bytes, offset: int = 0, checksum: Checksum | None = None):
    """Do what one request does."""
    return append(uploads.open(upload.upload_id, "anna", offset, len(content), checksum), content).commit()


def offset(uploads: Uploads, upload) -> int:
    return int(uploads.find(upload.upload_id, "anna").offset)


def read(store: FileStore, file_id: str) -> bytes:
    return store.path(file_id).read_bytes()


# -- in pieces, over many requests -------------------------------------------------------------------------------------


def test_what_comes_in_several_requests_becomes_one_file(store, uploads, begun, sha1):
    half = len(VIDEO) // 2
    first = send(uploads, begun, VIDEO[:half])
    assert (first.offset, first.stored, first.file_id) == (half, False, None)
    assert store.page() == []
    last = send(uploads, begun, VIDEO[half:], half)
    assert (last.offset, last.stored, last.file_id, last.expires) == (len(VIDEO), True, sha1(VIDEO), None)
    (file,) = store.page()
    assert (file.file_id, file.filename, file.content_type, file.origin) == (
        last.file_id,
        "mouse.mp4",
        "video/mp4",
        "upload",
    )
    assert read(store, file.file_id) == VIDEO
    assert list(store.unfinished.iterdir()) == []


def test_it_is_a_file_that_nobody_writes_to_any_more(store, uploads, begun):
    file_id = send(uploads, begun, VIDEO).file_id
    assert store.path(file_id).stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("seed", range(5))
def test_the_digest_is_right_however_the_requests_end(store, uploads, begun, sha1, seed):
    """Some commit, some break off, some have a checksum that matches and some one that does not."""
    chance, at = random.Random(seed), 0
    while at < len(VIDEO):
        content = VIDEO[at : at + chance.randrange(1, MIB)]
        end = chance.choice(["commits", "breaks off", "is checked", "is wrong"])
        checksum = {"is checked": sha1_of(content), "is wrong": sha1_of(b"other")}.get(end)
        writer = append(uploads.open(begun.upload_id, "anna", at, len(content), checksum), content)
        if end == "is wrong":
            with pytest.raises(ChecksumMismatch):
                writer.commit()
            assert offset(uploads, begun) == at
            continue
        at += len(content)
        if end == "breaks off" and at < len(VIDEO):
            writer.discard()
        else:
            writer.commit()
        assert offset(uploads, begun) == at
    assert uploads.find(begun.upload_id, "anna").file_id == sha1(VIDEO)
    assert read(store, sha1(VIDEO)) == VIDEO


@pytest.mark.parametrize("catch_up", [1, 2, 8])
def test_after_a_restart_the_beginning_is_hashed_again_while_more_comes(
    store, uploads, begun, sha1, monkeypatch, catch_up
):
    monkeypatch.setattr(upload_writer, "CATCH_UP", catch_up)
    send(uploads, begun, VIDEO[: 2 * MIB])
    restarted = Uploads(store)
    writer = restarted.open(begun.upload_id, "anna", 2 * MIB, len(VIDEO) - 2 * MIB)
    assert append(writer, VIDEO[2 * MIB :]).commit().file_id == sha1(VIDEO)


def test_the_beginning_is_hashed_once_only(uploads, begun, monkeypatch):
    """As long as the process lives: a large file is not read again at its end."""
    half = len(VIDEO) // 2
    send(uploads, begun, VIDEO[:half])
    monkeypatch.setattr(Writer, "_hash_again", lambda *args: pytest.fail("it was read again"))
    with pytest.raises(ChecksumMismatch):
        send(uploads, begun, VIDEO[half:], half, sha1_of(b"other"))
    assert send(uploads, begun, VIDEO[half:], half).stored


def test_hashing_may_be_ahead_of_writing(store, uploads, begun, sha1):
    send(uploads, begun, VIDEO[:MIB])
    writer = Uploads(store).open(begun.upload_id, "anna", MIB, len(VIDEO) - MIB)
    pieces = [VIDEO[start : start + PIECE] for start in range(MIB, len(VIDEO), PIECE)]
    for piece in pieces:
        writer.hash(piece)
    for piece in pieces:
        writer.write(piece)
    assert writer.commit().file_id == sha1(VIDEO)


# -- where the client has to be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 999, 1001, len(VIDEO)])
def test_bytes_that_do_not_follow_are_refused(uploads, begun, at):
    send(uploads, begun, VIDEO[:1000])
    with pytest.raises(Conflict) as refused:
        uploads.open(begun.upload_id, "anna", at, 0)
    assert refused.value.reason == "wrong-offset"
    assert "1000 bytes" in refused.value.message
    assert offset(uploads, begun) == 1000


def test_more_bytes_than_were_announced_are_refused(uploads, begun):
    with pytest.raises(TooLarge) as refused:
        uploads.open(begun.upload_id, "anna", 0, len(VIDEO) + 1)
    assert (refused.value.reason, refused.value.fields) == ("too-many-bytes", {"limit": len(VIDEO)})
    assert send(uploads, begun, VIDEO).stored


def test_there_is_one_writer_at_a_time_also_among_processes(store, uploads, begun):
    writer = uploads.open(begun.upload_id, "anna", 0, 10)
    writer.append(b"0123")
    for other in (uploads, Uploads(store)):
        for attempt in (
            lambda other=other: other.open(begun.upload_id, "anna", 4, 6),
            lambda other=other: other.delete(begun.upload_id, "anna"),
        ):
            with pytest.raises(Locked):
                attempt()
    writer.discard()
    assert offset(uploads, begun) == 4
    uploads.open(begun.upload_id, "anna", 4, 6).discard()


def test_an_upload_is_there_for_its_owner_only(uploads, begun):
    for attempt in (
        lambda: uploads.find(begun.upload_id, "otto"),
        lambda: uploads.open(begun.upload_id, "otto", 0, 1),
        lambda: uploads.delete(begun.upload_id, "otto"),
        lambda: uploads.find("0" * 32, "anna"),
        lambda: uploads.find("../../files.lock", "anna"),
    ):
        with pytest.raises(NotFound) as refused:
            attempt()
        assert refused.value.reason == "unknown-upload"
    assert uploads.unfinished("otto") == []
    assert [each.upload_id for each in uploads.unfinished("anna")] == [begun.upload_id]


# -- checksums ---------------------------------------------------------------------------------------------------------


def test_bytes_with_a_wrong_checksum_are_thrown_away_and_can_be_sent_again(store, uploads, begun, sha1):
    send(uploads, begun, VIDEO[:1000])
    with pytest.raises(ChecksumMismatch) as refused:
        send(uploads, begun, VIDEO[1000:], 1000, sha1_of(VIDEO[1000:], expected=b"other"))
    assert (refused.value.status, refused.value.reason) == (460, "checksum-mismatch")
    assert offset(uploads, begun) == 1000
    assert send(uploads, begun, VIDEO[1000:], 1000, sha1_of(VIDEO[1000:])).file_id == sha1(VIDEO)


def test_of_a_request_with_a_checksum_that_breaks_off_nothing_is_kept(uploads, begun):
    send(uploads, begun, VIDEO[:1000])
    append(uploads.open(begun.upload_id, "anna", 1000, MIB, sha1_of(VIDEO[1000:])), VIDEO[1000:5000]).discard()
    assert offset(uploads, begun) == 1000


def test_while_bytes_with_a_checksum_come_they_do_not_count(uploads, begun):
    content = VIDEO[:MIB]
    writer = append(uploads.open(begun.upload_id, "anna", 0, MIB, sha1_of(content)), content)
    assert offset(uploads, begun) == 0
    writer.commit()
    assert offset(uploads, begun) == MIB


def test_a_file_that_is_not_the_one_that_was_announced_is_refused_and_gone(store, uploads, sha1):
    upload = uploads.create("anna", "mouse.mp4", len(VIDEO), sha1=sha1(b"another video"))
    with pytest.raises(ChecksumMismatch) as refused:
        send(uploads, upload, VIDEO)
    assert refused.value.reason == "file-differs"
    with pytest.raises(NotFound):
        uploads.find(upload.upload_id, "anna")
    assert (store.page(), list(store.unfinished.iterdir())) == ([], [])


def test_a_file_that_is_the_one_that_was_announced_is_stored(uploads, sha1):
    upload = uploads.create("anna", "mouse.mp4", len(VIDEO), sha1=sha1(VIDEO))
    assert not upload.stored
    assert send(uploads, upload, VIDEO).file_id == sha1(VIDEO)


# -- known already -----------------------------------------------------------------------------------------------------


def test_a_file_that_is_stored_need_not_be_sent_and_gets_the_new_name(store, uploads, put, clock, sha1):
    put(VIDEO, "day 1.mp4")
    clock.now += 100
    upload = uploads.create("anna", "again.mp4", len(VIDEO), sha1=sha1(VIDEO))
    assert (upload.stored, upload.offset, upload.file_id) == (True, len(VIDEO), sha1(VIDEO))
    assert uploads.find(upload.upload_id, "anna") == upload
    (file,) = store.page()
    assert file.names == ("again.mp4", "day 1.mp4")
    assert file.used == clock.now
    assert uploads.unfinished("anna") == []


@pytest.mark.parametrize("what", ["another size", "lost bytes", "a file that was registered"])
def test_a_file_that_may_not_be_whole_is_sent(store, uploads, put, own_file, sha1, what):
    size = len(VIDEO)
    if what == "a file that was registered":
        store.register(own_file(VIDEO), "mouse.mp4")
    else:
        put(VIDEO)
    if what == "another size":
        size += 1
    if what == "lost bytes":
        store.path(sha1(VIDEO)).unlink()
    upload = uploads.create("anna", "again.mp4", size, sha1=sha1(VIDEO))
    linked = [file.linked_mtime_ns for file in store.page()] != [None]
    assert upload.stored == (what == "a file that was registered" and not linked)  # a reflink is a file of our own
    if what == "lost bytes":
        assert send(uploads, upload, VIDEO).stored
        assert read(store, sha1(VIDEO)) == VIDEO


def test_the_same_bytes_under_another_name_are_stored_once(store, uploads, begun, put):
    put(VIDEO, "day 1.mp4")
    assert send(uploads, begun, VIDEO).stored
    (file,) = store.page()
    assert set(file.names) == {"mouse.mp4", "day 1.mp4"}
    assert list(store.unfinished.iterdir()) == []


# -- limits ------------------------------------------------------------------------------------------------------------


def refusal_of(attempt) -> Refusal:
    with pytest.raises(Refusal) as refused:
        attempt()
    return refused.value


def test_what_cannot_be_taken_is_refused_before_a_byte_is_sent(store, uploads, settings):
    settings.max_upload_bytes = 1000
    assert refusal_of(lambda: uploads.create("anna", "a.mp4", 1001)).fields == {"limit": 1000}
    settings.store_quota_bytes = 500
    assert refusal_of(lambda: uploads.create("anna", "a.mp4", 501)).reason == "quota-exceeded"
    settings.min_free_bytes = 1 << 60
    assert refusal_of(lambda: uploads.create("anna", "a.mp4", 1)).reason == "disk-full"
    assert isinstance(refusal_of(lambda: uploads.create("anna", "a.mp4", 0)), BadRequest)
    assert isinstance(refusal_of(lambda: uploads.create("anna", "/", 1)), BadRequest)
    assert (uploads.unfinished("anna"), list(store.unfinished.iterdir())) == ([], [])


def test_what_has_come_counts_against_the_quota(store, uploads, begun, settings):
    settings.store_quota_bytes = len(VIDEO)
    assert store.used_bytes() == 0
    send(uploads, begun, VIDEO[:MIB])
    assert store.used_bytes() == MIB
    with pytest.raises(NoSpace):
        uploads.create("anna", "b.mp4", len(VIDEO) - MIB + 1)
    assert send(uploads, begun, VIDEO[MIB:], MIB).stored
    assert store.used_bytes() == len(VIDEO)


def test_a_disk_that_fills_up_keeps_what_has_come_and_lets_it_go_on_later(store, uploads, begun, sha1, monkeypatch):
    """What cannot be written must leave no hole: what comes behind it is not written either."""
    write, full = os.write, []

    def fails(descriptor, content):
        full.append(len(content))
        if len(full) == 3:
            write(descriptor, bytes(content)[:100])
            raise OSError(28, "No space left on device")
        return write(descriptor, content)

    monkeypatch.setattr("dlc_jupyter.storage.incoming.os.write", fails)
    writer = uploads.open(begun.upload_id, "anna", 0, len(VIDEO))
    pieces = [VIDEO[start : start + PIECE] for start in range(0, len(VIDEO), PIECE)]
    for number, piece in enumerate(pieces):
        writer.hash(piece)
        if number == 2:
            with pytest.raises(NoSpace):
                writer.write(piece)
        else:
            writer.write(piece)
    writer.discard()
    monkeypatch.setattr("dlc_jupyter.storage.incoming.os.write", write)
    came = offset(uploads, begun)
    assert came == 2 * PIECE + 100
    assert send(uploads, begun, VIDEO[came:], came).file_id == sha1(VIDEO)


@pytest.mark.parametrize("moment", ["seal", "adopt"])
def test_what_cannot_be_stored_at_the_end_is_stored_later(store, uploads, begun, sha1, monkeypatch, moment):
    def full(*args):
        raise NoSpace("Full.")

    where = GrowingFile if moment == "seal" else FileStore
    with monkeypatch.context() as patched:
        patched.setattr(where, moment, full)
        with pytest.raises(NoSpace):
            send(uploads, begun, VIDEO)
        found = uploads.find(begun.upload_id, "anna")
        assert (found.complete, found.stored) == (True, False)
        assert [each.upload_id for each in uploads.unfinished("anna")] == [begun.upload_id]
    done = uploads.complete(found)
    assert (done.stored, done.file_id) == (True, sha1(VIDEO))
    assert uploads.find(begun.upload_id, "anna").stored


def test_a_server_that_stops_lets_go_of_a_file_that_it_is_hashing(store, uploads, begun):
    send(uploads, begun, VIDEO[:-1])
    writer = append(Uploads(store).open(begun.upload_id, "anna", len(VIDEO) - 1, 1), VIDEO[-1:])
    store.close()
    with pytest.raises(Unavailable):
        writer.commit()
    assert offset(uploads, begun) == len(VIDEO)


# -- kill -9 -----------------------------------------------------------------------------------------------------------

#: Where a writer dies: what it is about to do for the n-th time, and how many bytes are there then.
DYING = {
    "before the first byte": (GrowingFile, "write", 1, 0),
    "in the middle of the bytes": (GrowingFile, "write", 4, 3 * PIECE),
    "behind the last byte": (GrowingFile, "seal", 1, len(VIDEO)),
    "before the row says what it becomes": (Uploads, "note", 1, len(VIDEO)),
    "before it has its place": (Writer, "_move", 1, len(VIDEO)),
    "between its place and its row": (FileStore, "_write_row", 1, "stored"),
    "behind its row": (Uploads, "drop_digest", 1, "stored"),
}


@pytest.fixture
def killed(settings, clock):
    """Go on with an upload in another process, which dies just before it calls a function for the n-th time."""

    def killed(upload, where, name, time, checksum=None) -> None:
        function, calls = getattr(where, name), []

        def deadly(*args, **kwargs):
            calls.append(name)
            if len(calls) == time:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        def run():
            setattr(where, name, deadly)
            store = FileStore(settings, Database(database_url(settings.root, "")), clock=clock)
            send(Uploads(store), upload, VIDEO, checksum=checksum)

        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    return killed


@pytest.mark.parametrize("moment", DYING)
def test_a_writer_that_was_killed_leaves_what_had_come_and_anybody_goes_on(store, uploads, begun, killed, sha1, moment):
    where, name, time, came = DYING[moment]
    killed(begun, where, name, time)
    found = uploads.find(begun.upload_id, "anna")
    if came == "stored":
        assert found.stored
        assert store.nameless() == []
    elif came == len(VIDEO):
        assert uploads.complete(found).stored
    else:
        assert found.offset == came
        assert send(uploads, begun, VIDEO[came:], came).stored
    assert uploads.find(begun.upload_id, "anna").file_id == sha1(VIDEO)
    assert read(store, sha1(VIDEO)) == VIDEO
    assert uploads.remains() == []


@pytest.mark.parametrize("moment", ["in the middle of the bytes", "before the row says what it becomes"])
def test_of_a_killed_writer_with_a_checksum_only_what_was_seen_whole_counts(store, uploads, begun, killed, moment):
    where, name, _time, _came = DYING[moment]
    killed(begun, where, name, 4 if where is GrowingFile else 2, checksum=sha1_of(VIDEO))
    assert offset(uploads, begun) == 0
    assert uploads.path(begun.upload_id).stat().st_size > 0
    assert send(uploads, begun, VIDEO).stored


def test_a_crash_while_an_upload_is_made_leaves_what_is_swept_away(store, uploads, settings):
    def run():
        Uploads._insert = lambda *args: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign,assignment,return-value]
        Uploads(FileStore(settings, Database(database_url(settings.root, "")))).create("anna", "mouse.mp4", 10)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    ((upload_id, status),) = uploads.remains()
    assert status.st_size == 0
    assert uploads.reclaim(upload_id)
    assert not uploads.reclaim(upload_id)
    assert (uploads.remains(), list(store.unfinished.iterdir())) == ([], [])


# -- given up, expired, forgotten --------------------------------------------------------------------------------------


def test_an_upload_that_is_given_up_leaves_nothing(store, uploads, begun, bytes_in):
    send(uploads, begun, VIDEO[:MIB])
    uploads.delete(begun.upload_id, "anna")
    with pytest.raises(NotFound):
        uploads.find(begun.upload_id, "anna")
    assert list(store.unfinished.iterdir()) == []


def test_giving_up_a_finished_one_leaves_the_file(store, uploads, begun):
    file_id = send(uploads, begun, VIDEO).file_id
    uploads.delete(begun.upload_id, "anna")
    assert read(store, file_id) == VIDEO


def test_an_upload_whose_file_was_deleted_is_gone(store, uploads, begun):
    store.delete(send(uploads, begun, VIDEO).file_id)
    with pytest.raises(Gone) as refused:
        uploads.find(begun.upload_id, "anna")
    assert (refused.value.status, refused.value.reason) == (410, "upload-gone")


def test_an_upload_of_which_the_bytes_were_swept_away_is_gone(store, uploads, begun, killed, sha1):
    killed(begun, *DYING["between its place and its row"][:3])
    assert store.reclaim(sha1(VIDEO))
    with pytest.raises(Gone):
        uploads.find(begun.upload_id, "anna")


def test_an_upload_expires_when_nothing_has_come_for_long(uploads, begun, settings, clock):
    settings.expire_uploads_hours = 10
    assert begun.expires == clock.now + 72 * HOUR
    clock.now += 9 * HOUR
    assert send(uploads, begun, VIDEO[:1000]).expires == clock.now + 10 * HOUR
    clock.now += 9 * HOUR
    assert offset(uploads, begun) == 1000
    assert uploads.expired(clock.now) == []
    clock.now += 2 * HOUR
    for attempt in (
        lambda: uploads.find(begun.upload_id, "anna"),
        lambda: uploads.open(begun.upload_id, "anna", 1000, 1),
    ):
        with pytest.raises(Gone) as refused:
            attempt()
        assert refused.value.reason == "upload-expired"
    assert uploads.unfinished("anna") == []
    assert [(each.upload_id, each.offset) for each in uploads.expired(clock.now)] == [(begun.upload_id, 1000)]
    assert uploads.remove_expired(begun.upload_id, clock.now)
    assert not uploads.remove_expired(begun.upload_id, clock.now)
    with pytest.raises(NotFound):
        uploads.find(begun.upload_id, "anna")


def test_it_never_expires_where_nothing_does(uploads, settings, clock):
    settings.expire_uploads_hours = 0
    upload = uploads.create("anna", "mouse.mp4", 10)
    clock.now += 1e6 * HOUR
    assert uploads.find(upload.upload_id, "anna").expires is None
    assert uploads.expired(clock.now) == []


def test_what_is_being_written_does_not_go(uploads, begun, clock):
    clock.now += 71 * HOUR
    writer = uploads.open(begun.upload_id, "anna", 0, 10)
    clock.now += 2 * HOUR
    assert not uploads.remove_expired(begun.upload_id, clock.now)
    writer.append(b"01234")
    writer.discard()
    assert offset(uploads, begun) == 5


def test_what_was_gone_on_with_meanwhile_does_not_go(uploads, begun, clock):
    clock.now += 73 * HOUR
    assert [each.upload_id for each in uploads.expired(clock.now)] == [begun.upload_id]
    os.utime(uploads.path(begun.upload_id), (clock.now, clock.now))  # another process has added to it
    assert not uploads.remove_expired(begun.upload_id, clock.now)
    assert offset(uploads, begun) == 0


def test_finished_uploads_are_remembered_for_a_while_only(uploads, begun, clock):
    send(uploads, begun, VIDEO)
    clock.now += 71 * HOUR
    uploads.create("anna", "other.mp4", 10)
    assert uploads.find(begun.upload_id, "anna").stored
    clock.now += 2 * HOUR
    uploads.create("anna", "another.mp4", 10)
    with pytest.raises(NotFound):
        uploads.find(begun.upload_id, "anna")


def test_a_part_file_that_has_its_row_by_now_is_not_reclaimed(uploads, begun):
    assert not uploads.reclaim(begun.upload_id)
    assert offset(uploads, begun) == 0


def test_whoever_opens_a_part_file_just_before_it_is_stored_does_not_write_to_a_stored_file(
    store, uploads, begun, monkeypatch
):
    opened: list[int] = []

    def store_first(descriptor):
        if not opened:
            opened.append(descriptor)
            assert send(uploads, begun, VIDEO).stored
        return try_lock(descriptor)

    monkeypatch.setattr("dlc_jupyter.storage.uploads.try_lock", store_first)
    with pytest.raises(Locked):
        Uploads(store).open(begun.upload_id, "anna", 0, 1)
    assert opened
    assert uploads.find(begun.upload_id, "anna").stored


def test_asking_while_a_file_gets_its_place_waits_for_its_row(store, uploads, begun, monkeypatch):
    """Between its place and its row the part file is gone and the file is not there yet."""
    write_row, holds = FileStore._write_row, Content.holds
    reached, threads, asked = threading.Event(), [], []

    def ask_first(self, *args):
        threads.append(threading.Thread(target=lambda: asked.append(uploads.find(begun.upload_id, "anna"))))
        threads[-1].start()
        assert reached.wait(20)
        write_row(self, *args)

    def noticed(self, file_id):
        reached.set()
        return holds(self, file_id)

    monkeypatch.setattr(FileStore, "_write_row", ask_first)
    monkeypatch.setattr(Content, "holds", noticed)
    send(uploads, begun, VIDEO)
    for thread in threads:
        thread.join(20)
    assert [each.stored for each in asked] == [True]


def test_only_so_many_digests_are_kept(store, uploads, monkeypatch, sha1):
    monkeypatch.setattr("dlc_jupyter.storage.uploads.MOST_DIGESTS", 2)
    begun = [uploads.create("anna", "mouse.mp4", 4) for _ in range(4)]
    for upload in begun:
        send(uploads, upload, b"ab")
    assert {send(uploads, upload, b"cd", 2).file_id for upload in begun} == {sha1(b"abcd")}
