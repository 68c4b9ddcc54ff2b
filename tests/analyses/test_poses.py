"""What all analyses of poses share."""

from pathlib import Path

import pytest

from dlc_jupyter import demo
from dlc_jupyter.analyses.base import InputFile, Job, find_analysis
from dlc_jupyter.analyses.poses import MEASURED, open_video
from dlc_jupyter.pose.models import Models


@pytest.mark.deeplabcut
@pytest.mark.parametrize("remembers", [True, False])
def test_what_a_network_takes_is_remembered_for_later_analyses(deeplabcut, clip, tmp_path, remembers):
    models = Models({"mouse": str(demo.MODEL)}, "")
    memory = tmp_path / "cache" if remembers else None
    job = Job(
        parameters=find_analysis("video").validate({"model": "mouse"}),
        inputs=[InputFile("0" * 40, Path(clip), "mouse.mp4")],
        scratch=tmp_path,
        model=models.stage(models.find("mouse"), tmp_path / "model"),
        memory=memory,
    )
    assert open_video(job).network.measured_file == (tmp_path / "cache" / MEASURED if remembers else None)
