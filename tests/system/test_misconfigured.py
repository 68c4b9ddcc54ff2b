"""An option that cannot be: the server says so, and does nothing in the place of what it was told."""

from __future__ import annotations

import pytest

from tests.system.servers import ALONE, LONG

pytestmark = pytest.mark.system


def test_jupyter_dlc_ends_at_once_and_names_the_option(site):
    before = {each.name for each in site.folder.iterdir()}
    server = site.begin((*ALONE, "--DLCApp.max_attempts=0"))
    assert server.process.wait(LONG) == 1
    assert "dlc_jupyter cannot be used: The value of the 'max_attempts' trait" in server.log
    assert "Traceback" not in server.log
    assert {each.name for each in site.folder.iterdir()} - before == {"server-1.log"}
    assert not site.settings.root.exists()
