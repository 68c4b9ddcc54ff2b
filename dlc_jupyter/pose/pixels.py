"""What DeepLabCut does to a picture before the network sees it, as a table: 256 values for each colour.

Most projects only normalise the picture: a pixel's new value depends on nothing but its old one. Then 8 bits for each
colour can go to the device, a quarter of what DeepLabCut sends, and be looked up there in a table that DeepLabCut's own
transform has made: the same bits, without its copies in 32-bit floats.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc_jupyter.pose.frames import Pictures

#: Steps of a transform that look at one pixel at a time.
POINTWISE = ("Normalize",)


class Lookup:
    """The transform of a bottom-up preprocessor, where it is pointwise.

    Parameters
    ----------
    preprocessor : deeplabcut's Preprocessor
        Of a bottom-up network or a detector.
    device : torch.device
        Where the network runs.

    Raises
    ------
    NotPointwise
        It also does something else, such as change the size of the picture.
    """

    def __init__(self, preprocessor: Any, device: Any) -> None:
        import torch

        self._preprocessor, self._device = preprocessor, torch.device(device)
        self.values = _values(preprocessor)
        self._columns = [np.ascontiguousarray(each.reshape(256, 1)) for each in self.values]
        self._on_device = torch.from_numpy(self.values).to(self._device)
        self._context: dict[str, Any] = {}
        self._input: Any = None
        self._plane: Any = None

    def check(self, picture: Pictures) -> None:
        """Compare with DeepLabCut's own way for one picture, and keep what it says of its size and place.

        Raises
        ------
        NotPointwise
            They differ in a bit.
        """
        import torch

        wanted, self._context = self._preprocessor(rgb(picture), {})
        made = self.inputs(picture[None])
        if wanted.shape != made.shape or not torch.equal(wanted, made.cpu()):
            raise NotPointwise("DeepLabCut's transform of a picture is not what a table makes of it")

    def context(self) -> dict[str, Any]:
        """Return what DeepLabCut's postprocessor must know of a picture."""
        return dict(self._context)

    def inputs(self, pictures: Pictures) -> Any:
        """Return the input of the network for some pictures.

        Parameters
        ----------
        pictures : array of uint8, n x height x width x 3
            Blue, green, red.

        Returns
        -------
        torch.Tensor of float32, n x 3 x height x width
            On the device; on the CPU it holds until the next call.
        """
        return self._by_opencv(pictures) if self._device.type == "cpu" else self._on_the_device(pictures)

    def _by_opencv(self, pictures: Pictures) -> Any:
        """Three times as quick on a CPU as to index a tensor."""
        import cv2
        import torch

        count, height, width, _ = pictures.shape
        if self._input is None or self._input.shape[2:] != (height, width) or len(self._input) < count:
            self._input = torch.empty((count, 3, height, width))
            self._plane = np.empty((height, width), np.uint8)
        planes = self._input.numpy()
        for number, picture in enumerate(pictures):
            for colour, column in enumerate(self._columns):
                cv2.extractChannel(picture, 2 - colour, self._plane)
                cv2.LUT(self._plane, column, planes[number, colour])
        return self._input[:count]

    def _on_the_device(self, pictures: Pictures) -> Any:
        import torch

        held = torch.from_numpy(pictures).to(self._device, non_blocking=True)
        made = torch.empty((len(held), 3, *held.shape[1:3]), device=self._device)
        for colour in range(3):
            made[:, colour] = self._on_device[colour][held[..., 2 - colour].int()]
        return made


class NotPointwise(Exception):
    """A transform is more than a table."""


def rgb(picture: Pictures) -> Pictures:
    """Return a picture of OpenCV's in the order that DeepLabCut expects: red, green, blue."""
    import cv2

    turned: Pictures = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    return turned


def _values(preprocessor: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Run a preprocessor on all 256 values, and return what it makes of them: 3 x 256, red, green, blue."""
    steps = [type(each).__name__ for each in preprocessor.components]
    if steps != ["LoadImage", "AugmentImage", "ToTensor", "ToBatch"]:
        raise NotPointwise(f"its preprocessor has the steps {', '.join(steps)}")
    others = [type(each).__name__ for each in preprocessor.components[1].transform.transforms]
    others = [each for each in others if each not in POINTWISE]
    if others:
        raise NotPointwise(f"its transform has {', '.join(others)}")
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    made, _context = preprocessor(ramp, {})
    return np.ascontiguousarray(made[0, :, 0, :].numpy())
