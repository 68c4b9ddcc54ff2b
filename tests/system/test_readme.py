"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dlc_jupyter
from dlc_jupyter.demo import boards
from tests.system.servers import Server, Site
from tests.system.shell import Shell

pytestmark = [pytest.mark.system, pytest.mark.deeplabcut]

PACKAGE = Path(dlc_jupyter.__file__).parent
README = (PACKAGE.parent / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8899"


@pytest.fixture
def server(studio: Site) -> Server:
    return studio.running()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that has the demo's video where a checkout has it."""
    (tmp_path / "dlc_jupyter").symlink_to(PACKAGE)
    return tmp_path


def block(language: str, containing: str, server: Server) -> str:
    """The code block of a language that contains some text, with the address and token of a server."""
    [found] = [each for each in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in each]
    for shown, meant in ((ADDRESS, server.url.rstrip("/")), ("token demo", f"token {server.token}")):
        assert shown in found or language == "python"
        found = found.replace(shown, meant)
    return found.replace('token="demo"', f'token="{server.token}"')


def test_the_calls_with_curl_as_one_script(server: Server, checkout: Path) -> None:
    printed = Shell(server, "", checkout)(block("bash", "Send a video", server), timeout=280)
    assert json.loads((checkout / "poses.json").read_text())["frames"] == 600
    assert len((checkout / "poses.csv").read_text().splitlines()) == 603
    assert (checkout / "labeled.mp4").read_bytes()[4:8] == b"ftyp"
    assert '"analysis": "label"' in printed
    assert "--- label, attempt 1" in printed
    cancelled = next(each for each in server.client.analyses() if each["analysis"] == "sleep")
    with pytest.raises(Exception, match="cancelled"):
        server.client.wait(cancelled["analysis_id"], timeout=60)


def functions(server: Server) -> str:
    """What the README defines before its calls."""
    return block("bash", "Send a video", server).partition("# Send a video")[0]


def test_the_calls_with_curl_stop_with_a_message_and_leave_no_file(server: Server, checkout: Path) -> None:
    """Otherwise an answer that says what is wrong would lie in poses.csv."""
    (checkout / "poses.json").write_text("of an earlier call")
    calls = {
        "file": 'VIDEO=$(curl -sS -H "$AUTH" $DLC/file -d path=nowhere.mp4 | id); echo "got $VIDEO"',
        "asked": 'POSES=$(curl -sS -H "$AUTH" $DLC/analysis -d analysis=video | id); result "$POSES" poses.json',
        "failed": """
            VIDEO=$(curl -sS -H "$AUTH" $DLC/file -F file=@text.mp4 | id)
            POSES=$(curl -sS -H "$AUTH" $DLC/analysis -d analysis=video -d model=demo-mouse -d file_id=$VIDEO | id)
            result "$POSES" poses.json && cat poses.json
            fetch poses.json csv_file poses.csv
            """,
        "field": """echo '{"notes": [], "csv_file": null}' > made.json; fetch made.json csv_file poses.csv""",
        "gone": f"""echo '{{"csv_file": "{"0" * 40}"}}' > made.json; fetch made.json csv_file poses.csv""",
    }
    said = {"file": "There is no file", "asked": "no analysis was asked for", "failed": '"state": "failed"'}
    said |= {"field": "there is no csv_file in made.json", "gone": "404"}
    (checkout / "text.mp4").write_text("I am no video.")
    for name, call in calls.items():
        ran = subprocess.run(
            ["bash", "-c", functions(server) + call], cwd=checkout, capture_output=True, text=True, timeout=60
        )
        assert said[name] in ran.stderr, (name, ran.stderr)
        assert not (checkout / "poses.csv").exists(), name
        assert (ran.returncode == 0) == (name == "file"), name
    assert not (checkout / "poses.json").exists()


def test_the_calls_in_three_dimensions_follow_on_those(server: Server, checkout: Path) -> None:
    [calls] = [each for each in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) if "label_3d" in each]
    Shell(server, "", checkout)(functions(server) + calls, timeout=280)
    space = json.loads((checkout / "space.json").read_text())
    assert (space["frames"], space["unit"], space["warnings"]) == (240, "mm", [])
    assert len((checkout / "space.csv").read_text().splitlines()) == 243
    assert json.loads((checkout / "video.json").read_text())["frames"] == 240
    assert (checkout / "labeled_3d.mp4").read_bytes()[4:8] == b"ftyp"


def test_the_cameras_are_calibrated_with_the_python_client(server: Server, checkout: Path) -> None:
    boards.write(checkout / "demo-run" / "calibration_images", 12)
    command = [sys.executable, "-c", block("python", "calibrate", server)]
    ran = subprocess.run(command, cwd=checkout, check=True, timeout=120, capture_output=True, text=True)
    assert float(ran.stdout.split()[0]) < 0.1
    assert (checkout / "camera-1.png").read_bytes()[:4] == b"\x89PNG"
    [model] = [each for each in server.client.models() if each["name"] == "my-rig"]
    assert model["problem"] is None
    server.client.delete_model("my-rig")


def test_the_python_client(server: Server, checkout: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", block("python", "labeled.mp4", server)], cwd=checkout, check=True, timeout=240
    )
    assert len((checkout / "poses.csv").read_text().splitlines()) == 603
    assert (checkout / "labeled.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_recording_that_lies_on_the_server_is_not_uploaded(server: Server, studio: Site, checkout: Path) -> None:
    recordings = studio.folder / "recordings"
    recordings.mkdir(exist_ok=True)
    (recordings / "day1.mp4").write_bytes(b"a recording")
    [call] = [each for each in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) if '"path"' in each]
    said = Shell(server, "", checkout)(call, DLC=server.url.rstrip("/"), AUTH=f"Authorization: token {server.token}")
    assert json.loads(said)["origin"] == "path"


def test_every_page_that_it_names_is_there() -> None:
    named = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert "docs/http_api.md" in named
    assert [page for page in named if not (PACKAGE.parent / page).exists()] == []
