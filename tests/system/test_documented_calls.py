"""The documented calls, with curl, as the documentation shows them; what needs no DeepLabCut."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlc_jupyter import demo
from tests.system.servers import ALONE, EXTENSION, Server, Site, wait_until
from tests.system.shell import Shell

pytestmark = pytest.mark.system

VIDEO_ID = hashlib.sha1(demo.VIDEO.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """The server of either kind, started when it is first asked for."""
    sites: dict[str, Site] = {}

    def server_of(kind: str) -> Server:
        if kind not in sites:
            sites[kind] = Site(tmp_path_factory.mktemp(kind))
            sites[kind].start({"jupyter-dlc": ALONE, "jupyter-server": EXTENSION}[kind])
        return sites[kind].servers[0]

    yield server_of
    for site in sites.values():
        site.end()


@pytest.fixture(params=["jupyter-dlc", "jupyter-dlc/dlc", "jupyter-server/dlc"])
def shell(request: pytest.FixtureRequest, server_of: Callable[[str], Server], tmp_path: Path) -> Shell:
    """A shell for each place where the API is: ``jupyter dlc`` serves it at two, any other server at one."""
    kind, slash, prefix = request.param.partition("/")
    return Shell(server_of(kind), slash + prefix, tmp_path)


def code(shell: Shell, line: str, **values: str) -> int:
    """Return the status with which a call is answered."""
    return int(shell(f"{line} -s -o /dev/null -w '%{{http_code}}'", **values))


def ended(shell: Shell, analysis_id: str) -> int:
    """Poll an analysis as the documentation says, and return the status other than 202."""
    line = 'curl -H "Authorization: token $TOKEN" $URL/analysis/$ID'
    return int(wait_until(lambda: (found := code(shell, line, ID=analysis_id)) != 202 and found))


def test_a_file_goes_in_comes_out_and_goes(shell):
    stored = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/file -F file=@openfield.mp4'))
    assert (stored["file_id"], stored["filename"]) == (VIDEO_ID, "openfield.mp4")
    again = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/file -F "file=@openfield.mp4;filename=b.mp4"'))
    assert again["file_id"] == VIDEO_ID

    [listed] = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/file'))
    assert listed["names"] == ["b.mp4", "openfield.mp4"]

    shell('curl -H "Authorization: token $TOKEN" $URL/file/$ID -o whole.mp4', ID=VIDEO_ID[:8])
    assert (shell.folder / "whole.mp4").read_bytes() == demo.VIDEO.read_bytes()
    shell('curl -H "Authorization: token $TOKEN" $URL/file/$ID -r 1000-1999 -OJ', ID=VIDEO_ID)
    assert (shell.folder / "b.mp4").read_bytes() == demo.VIDEO.read_bytes()[1000:2000]

    delete = 'curl -H "Authorization: token $TOKEN" $URL/file/$ID -X DELETE'
    assert code(shell, delete, ID=VIDEO_ID) == 204
    assert code(shell, 'curl -H "Authorization: token $TOKEN" $URL/file/$ID', ID=VIDEO_ID) == 404


def test_an_analysis_is_202_until_it_is_200_and_its_file_can_be_fetched(shell):
    asked = shell('curl -H "Authorization: token $TOKEN" $URL/analysis -F analysis=sleep -F time=0.5')
    analysis_id = json.loads(asked)["analysis_id"]
    waiting = shell('curl -i -H "Authorization: token $TOKEN" $URL/analysis/$ID', ID=analysis_id)
    head, _, body = waiting.replace("\r", "").partition("\n\n")
    assert head.startswith("HTTP/1.1 202 ")
    assert "\nRetry-After: 1" in head
    assert f'/analysis/{analysis_id}/status>; rel="status"' in head
    assert body == ""

    assert ended(shell, analysis_id) == 200
    result = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/analysis/$ID', ID=analysis_id[:10]))
    assert result["sleep_time"] == 0.5
    shell('curl -H "Authorization: token $TOKEN" $URL/file/$ID -OJ', ID=result["csv_file"])
    assert (shell.folder / "sleep.csv").read_text().split() == ["sleep_time", "0.5"]

    status = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/analysis/$ID/status', ID=analysis_id))
    assert (status["state"], status["progress"]["done"]) == ("succeeded", 0.5)
    assert "sleep, attempt 1" in shell('curl -H "Authorization: token $TOKEN" $URL/analysis/$ID/log', ID=analysis_id)
    assert analysis_id in shell('curl -H "Authorization: token $TOKEN" $URL/analysis')

    assert code(shell, 'curl -H "Authorization: token $TOKEN" $URL/analysis/$ID -X DELETE', ID=analysis_id) == 204
    assert code(shell, 'curl -H "Authorization: token $TOKEN" $URL/analysis/$ID', ID=analysis_id) == 404
    assert code(shell, 'curl -H "Authorization: token $TOKEN" $URL/file/$ID', ID=result["csv_file"]) == 404


def test_a_form_a_body_and_json_ask_for_the_same(shell):
    ids = [
        json.loads(shell(f'curl -H "Authorization: token $TOKEN" $URL/analysis {body}'))["analysis_id"]
        for body in (
            "-F analysis=sleep -F time=0",
            "-d analysis=sleep -d time=0",
            """-H "Content-Type: application/json" -d '{"analysis": "sleep", "time": 0}'""",
        )
    ]
    assert len(set(ids)) == 3, "sleeping is done anew each time"
    for analysis_id in ids:
        assert ended(shell, analysis_id) == 200
        status = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/analysis/$ID/status', ID=analysis_id))
        assert (status["analysis"], status["parameters"]) == ("sleep", {"time": 0.0})


def test_a_repeated_field_means_several_files_in_their_order(shell):
    upload = 'echo $TEXT > $TEXT.mp4; curl -H "Authorization: token $TOKEN" $URL/file -F file=@$TEXT.mp4'
    left, right = (json.loads(shell(upload, TEXT=text))["file_id"] for text in ("left", "right"))
    asked = shell(
        'curl -H "Authorization: token $TOKEN" $URL/analysis -F analysis=alone -F file_id=$RIGHT -F file_id=$LEFT',
        RIGHT=right[:9],
        LEFT=left,
    )
    analysis_id = json.loads(asked)["analysis_id"]
    status = json.loads(shell('curl -H "Authorization: token $TOKEN" $URL/analysis/$ID/status', ID=analysis_id))
    assert status["file_id"] == [right, left]
    assert ended(shell, analysis_id) == 200


def test_what_is_cancelled_is_410(shell):
    asked = shell('curl -H "Authorization: token $TOKEN" $URL/analysis -d analysis=sleep -d time=600')
    analysis_id = json.loads(asked)["analysis_id"]
    cancel = 'curl -H "Authorization: token $TOKEN" $URL/analysis/$ID/cancel -X POST'
    assert json.loads(shell(cancel, ID=analysis_id))["analysis_id"] == analysis_id
    assert ended(shell, analysis_id) == 410
    assert code(shell, cancel, ID=analysis_id) == 409


def test_a_failure_says_what_to_do(shell):
    refused = 'curl -H "Authorization: token $TOKEN" $URL/analysis -d analysis=swim'
    assert code(shell, refused) == 400
    assert "sleep" in json.loads(shell(refused))["analyses"]
    for line in ("curl $URL/file", "curl $URL/analysis -d analysis=sleep", "curl $URL/file -F file=@openfield.mp4"):
        assert code(shell, line) == 403
