"""What is asked of the file system under the data folder."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from dlc_jupyter.errors import NoSpace
from dlc_jupyter.storage import disk

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:40 / /home rw,relatime shared:20 master:1 - nfs4 server:/home rw,vers=4.2
41 40 0:41 / /home/anna/fast rw - xfs /dev/nvme0n1 rw
42 22 0:42 / /mnt/with\040space rw - cifs //server/share rw
43 22 0:43 / /mnt/dätä rw - fuse.sshfs anna@server: rw
44 22 0:44 / /mnt/over rw - ext4 /dev/sdb1 rw
45 22 0:45 / /mnt/over rw - lustre mgs:/lustre rw
46 22 0:46 / /mnt/back\134slash rw - btrfs /dev/sdc1 rw
"""


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS.lstrip())
    monkeypatch.setattr(disk, "MOUNTS", path)
    monkeypatch.setattr(disk, "_existing", lambda path: path)
    return path


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/data/dlc", "ext4", False),
        ("/home/anna/dlc", "nfs4", True),
        ("/home/anna/fast/dlc", "xfs", False),
        ("/home/anna/faster", "nfs4", True),
        ("/mnt/with space/dlc", "cifs", True),
        ("/mnt/dätä/dlc", "sshfs", True),
        ("/mnt/over/dlc", "lustre", True),  # what was mounted last hides what lies below
        ("/mnt/back\\slash", "btrfs", False),
    ],
)
def test_the_kind_of_file_system_and_whether_other_machines_share_it(mounts, path, kind, network):
    assert disk.filesystem_type(Path(path)) == kind
    assert disk.is_network(Path(path)) is network


def test_a_mount_point_whose_name_is_no_utf8_harms_nothing(mounts, tmp_path):
    mounts.write_bytes(mounts.read_bytes() + b"50 22 0:50 / /mnt/\xff rw - vfat /dev/sdd1 rw\n")
    assert disk.filesystem_type(tmp_path) == "ext4"


def test_without_a_table_of_mounts_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "MOUNTS", tmp_path / "missing")
    assert disk.filesystem_type(tmp_path) == ""
    assert not disk.is_network(tmp_path)


def test_this_machine_s_own_table_is_understood(tmp_path):
    assert disk.filesystem_type(tmp_path)
    assert disk.filesystem_type(tmp_path / "not" / "there yet") == disk.filesystem_type(tmp_path)


def test_free_bytes_of_a_folder_that_is_not_there_yet(tmp_path):
    status = os.statvfs(tmp_path)
    assert 0 < disk.free_bytes(tmp_path / "not" / "there yet") <= status.f_blocks * status.f_frsize


def test_free_bytes_are_what_may_be_written(small_disk):
    assert disk.free_bytes(small_disk) == 4 << 20
    (small_disk / "taken").write_bytes(bytes(1 << 20))
    assert disk.free_bytes(small_disk) == 3 << 20


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_word_of_the_system_for_a_full_disk_is_a_refusal(code):
    with pytest.raises(NoSpace, match="not enough room") as refused, disk.full_disk_refused():
        raise OSError(code, "full")
    assert refused.value.reason == "disk-full"


def test_other_errors_of_the_disk_stay_what_they_are():
    with pytest.raises(PermissionError), disk.full_disk_refused():
        raise OSError(errno.EACCES, "no")


def test_a_lock_lets_one_in_at_a_time(tmp_path):
    count = tmp_path / "count"
    count.write_text("0")

    def work():
        for _ in range(5):
            with disk.locked(tmp_path / "lock"):
                before = int(count.read_text())
                time.sleep(0.001)  # whoever else is inside now has read the same number
                count.write_text(str(before + 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text() == "20"


def test_a_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), disk.locked(tmp_path / "lock"):
        raise KeyError
    with disk.locked(tmp_path / "lock"):
        pass


def test_a_file_system_that_cannot_share_blocks_says_so(another_disk):
    (another_disk / "source").write_bytes(b"video")
    with (another_disk / "source").open("rb") as source, (another_disk / "target").open("wb") as target:
        assert not disk.reflink(source.fileno(), target.fileno())
    assert (another_disk / "target").read_bytes() == b""
