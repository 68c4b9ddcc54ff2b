"""Paths under the server's root: what may be opened, and every way out of it that is closed."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from dlc_jupyter.errors import BadRequest, NotFound
from dlc_jupyter.storage import beneath
from dlc_jupyter.storage.beneath import open_beneath


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "videos").mkdir(parents=True)
    (root / "videos" / "day1.mp4").write_bytes(b"day 1")
    (tmp_path / "secret").write_bytes(b"secret")
    return root


@pytest.fixture
def read(root):
    def read(path, **how) -> bytes:
        with open_beneath(root, path, **how) as (_found, descriptor):
            return os.read(descriptor, 100)

    return read


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("path", ["videos/day1.mp4", "/videos/day1.mp4", "./videos//day1.mp4", "videos/./day1.mp4"])
def test_a_file_under_the_root_is_opened(read, path):
    assert read(path) == b"day 1"


def test_the_name_without_links_is_told(root):
    (root / "link").symlink_to("videos")
    (root / "another.mp4").symlink_to(root / "link" / "day1.mp4")
    with open_beneath(root, "another.mp4") as (found, descriptor):
        assert found == root / "videos" / "day1.mp4"
        assert os.path.samestat(os.fstat(descriptor), found.stat())


def test_a_root_that_is_itself_behind_a_link(root, tmp_path):
    (tmp_path / "here").symlink_to(root)
    with open_beneath(tmp_path / "here", "videos/day1.mp4") as (_found, descriptor):
        assert os.read(descriptor, 9) == b"day 1"


@pytest.mark.parametrize("path", ["", "/", ".", "..", "../secret", "videos/../../secret", "videos/..", "a\0b", "\0"])
def test_what_is_no_path_under_the_root_is_refused(read, path):
    with pytest.raises(BadRequest, match="relative to the server's root") as refused:
        read(path)
    assert refused.value.reason == "bad-path"


@pytest.mark.parametrize(
    "path", ["videos/day2.mp4", "nothing", "videos/day1.mp4/more", "x" * 300, "\ud800", "x/" * 3000]
)
def test_what_is_not_there_is_not_found(read, path):
    with pytest.raises(NotFound, match="There is no file") as refused:
        read(path)
    assert refused.value.reason == "unknown-path"


@pytest.mark.parametrize("place", ["absolute", "relative", "folder", "chain", "circle"])
def test_a_link_that_leaves_the_root_leads_nowhere(read, root, tmp_path, place):
    path = "link"
    if place == "absolute":
        (root / "link").symlink_to(tmp_path / "secret")
    elif place == "relative":
        (root / "link").symlink_to("../secret")
    elif place == "folder":
        (root / "link").symlink_to("..")
        path = "link/secret"
    elif place == "chain":
        (root / "link").symlink_to("videos/on")
        (root / "videos" / "on").symlink_to(tmp_path / "secret")
    else:
        (root / "link").symlink_to("other")
        (root / "other").symlink_to("link")
    with pytest.raises(NotFound) as refused:
        read(path)
    assert str(tmp_path) not in refused.value.message


def test_a_folder_next_to_the_root_whose_name_begins_like_it_is_outside(read, root, tmp_path):
    (tmp_path / "root-of-another").mkdir()
    (tmp_path / "root-of-another" / "secret").write_bytes(b"secret")
    (root / "link").symlink_to("../root-of-another/secret")
    with pytest.raises(NotFound):
        read("link")


def test_a_link_put_in_the_way_at_the_last_moment_is_not_followed(read, root, tmp_path, monkeypatch):
    def resolve(self: Path, strict: bool = False) -> Path:
        found = Path(os.path.realpath(self))
        if self.name == "day1.mp4":
            self.unlink()
            self.symlink_to(tmp_path / "secret")
        return found

    monkeypatch.setattr(beneath.Path, "resolve", resolve)
    with pytest.raises(NotFound):
        read("videos/day1.mp4")


def test_a_folder_replaced_by_a_link_at_the_last_moment_is_not_followed(read, root, tmp_path, monkeypatch):
    (tmp_path / "day1.mp4").write_bytes(b"secret")

    def resolve(self: Path, strict: bool = False) -> Path:
        found = Path(os.path.realpath(self))
        if self.name == "day1.mp4":
            (root / "videos").rename(root / "moved")
            (root / "videos").symlink_to(tmp_path)
        return found

    monkeypatch.setattr(beneath.Path, "resolve", resolve)
    with pytest.raises(NotFound):
        read("videos/day1.mp4")


@pytest.mark.parametrize("path", [".ssh/key", "videos/.hidden.mp4", ".hidden.mp4"])
def test_hidden_files_are_hidden_unless_the_server_shows_them(read, root, path):
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_bytes(b"hidden")
    with pytest.raises(NotFound) as refused:
        read(path)
    assert refused.value.reason == "unknown-path"
    assert read(path, hidden=True) == b"hidden"


def test_nothing_is_taken_from_the_forbidden_folder(read, root):
    (root / "dlc" / "files").mkdir(parents=True)
    (root / "dlc" / "files" / "bytes").write_bytes(b"bytes")
    (root / "link").symlink_to("dlc/files/bytes")
    for path in ("dlc/files/bytes", "link"):
        with pytest.raises(NotFound):
            read(path, forbidden=root / "dlc")
        assert read(path, forbidden=root / "dlc2") == b"bytes"


def test_folders_pipes_and_the_like_are_no_files_and_nobody_waits_for_them(read, root, monkeypatch):
    os.mkfifo(root / "pipe")
    for path in ("videos", "pipe"):
        with pytest.raises(BadRequest, match="must name a file") as refused:
            read(path)
        assert refused.value.reason == "not-a-file"
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(root)  # the address of a socket has to be short
        listening.bind("socket")
        assert stat.S_ISSOCK((root / "socket").stat().st_mode)
        with pytest.raises(NotFound):
            read("socket")


def test_no_descriptor_is_left_open(read, root):
    os.mkfifo(root / "pipe")
    before = open_descriptors()
    for path in ("videos/day1.mp4", "videos", "pipe", "nothing", "videos/day1.mp4/x"):
        with contextlib.suppress(BadRequest, NotFound):
            read(path)
    assert open_descriptors() == before


def test_messages_name_what_was_asked_for_and_nothing_of_the_server(read, root):
    with pytest.raises(NotFound) as refused:
        read("videos/day2.mp4")
    assert "'videos/day2.mp4'" in refused.value.message
    assert str(root) not in refused.value.message
    with pytest.raises(NotFound) as refused:
        read("y" * 5000)
    assert len(refused.value.message) < 300
