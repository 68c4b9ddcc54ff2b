from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pose import videos


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The video of a name in `videos.WHOLE`, made once."""
    folder = tmp_path_factory.mktemp("videos")
    return lambda name: videos.make(name, folder)
