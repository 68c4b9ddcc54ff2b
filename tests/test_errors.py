"""What users are told names no folder of the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlc_jupyter.errors import without_paths

DATA = "/home/Jane Doe/dlc data"
PROJECT = "/mnt/lab share/reach-Jane-2026-11-01"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cannot open /home/anna/dlc/scratch/0a/video.mp4", "cannot open video.mp4"),
        ("'/a/b/config.yaml' is broken", "'config.yaml' is broken"),
        ("(/opt/x/lib.so: no such symbol)", "(lib.so: no such symbol)"),
        ("ImportError:/opt/x/lib.so: no such symbol", "ImportError:lib.so: no such symbol"),
        ("PATH=/usr/bin:/opt/x/bin", "PATH=bin"),
        ("see file:///opt/x/manual.html", "see file:manual.html"),
        ("cannot open //nas/share/a.mp4", "cannot open a.mp4"),
        ("no folder '/srv/Joe Bloggs/my videos/' here", "no folder 'my videos' here"),
        ('File "/srv/Joe Bloggs/my videos/a b.py", line 3', 'File "a b.py", line 3'),
        (f"{DATA}/scratch/0a/video.mp4: No such file", "video.mp4: No such file"),
        (f"libx264:{DATA}/scratch/0a/labeled.mp4: No space", "libx264:labeled.mp4: No space"),
        (f"cannot write to {DATA}/logs/a.log, or {DATA}", "cannot write to a.log, or dlc data"),
        (f"{DATA}/scratch/0a", "0a"),
        (f"nothing in {PROJECT}/labeled-data, nor in {PROJECT}.", "nothing in labeled-data, nor in"),
        ("the folder /home/Jane Doe is closed", "the folder Jane Doe is closed"),
        ("at 12/24 frames/s, see https://example.org/a/b", "at 12/24 frames/s, see https://example.org/a/b"),
        (f"see https://example.org{DATA}", f"see https://example.org{DATA}"),
        ("and/or, GET /schema, ./a/b/c, 1:02:03.40", "and/or, GET /schema, ./a/b/c, 1:02:03.40"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_paths_of_the_server_are_cut_down(text: str, told: str) -> None:
    assert without_paths(text, f"{DATA}/scratch/0a", PROJECT).startswith(told)


def test_the_folder_in_which_a_process_works_is_known_and_so_is_where_links_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real place" / "0a"
    real.mkdir(parents=True)
    (tmp_path / "a link").symlink_to(real)
    monkeypatch.chdir(real)
    assert without_paths(f"no {real}/a.mp4") == "no a.mp4"
    monkeypatch.chdir("/")
    assert without_paths(f"no {real}/a.mp4 in {tmp_path}/a link/b", tmp_path / "a link") == "no a.mp4 in b"


def test_a_folder_that_is_gone_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert without_paths("no /a/b/c.mp4", "/a") == "no c.mp4"
