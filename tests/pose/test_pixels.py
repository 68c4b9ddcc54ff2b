"""The two ways of looking pixels up, on a processor and on any device, give DeepLabCut's own bits."""

import numpy as np
import pytest
import torch

from dlc_jupyter.pose.pixels import Lookup, rgb

pytestmark = pytest.mark.deeplabcut


@pytest.fixture
def preprocessor(deeplabcut):
    from deeplabcut.pose_estimation_pytorch import build_transforms
    from deeplabcut.pose_estimation_pytorch.data.preprocessor import build_bottom_up_preprocessor

    return build_bottom_up_preprocessor("RGB", build_transforms({"normalize_images": True}))


@pytest.mark.parametrize("shape", [(3, 17, 23), (1, 1, 1), (4, 64, 48)])
def test_looked_up_on_the_device_they_are_the_same_bits(preprocessor, shape):
    """The device's way runs on a processor too, where it is only slower."""
    pictures = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    lookup = Lookup(preprocessor, "cpu")
    wanted = torch.cat([preprocessor(rgb(picture), {})[0] for picture in pictures])
    for made in (lookup._on_the_device(pictures), lookup._by_opencv(pictures)):
        assert made.dtype == torch.float32
        assert torch.equal(made, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_they_are_on_a_gpu(preprocessor):
    pictures = np.random.default_rng(2).integers(0, 256, (5, 120, 160, 3)).astype(np.uint8)
    made = [Lookup(preprocessor, device).inputs(pictures) for device in ("cpu", "cuda:0")]
    assert made[1].device.type == "cuda"
    assert torch.equal(made[0], made[1].cpu())
