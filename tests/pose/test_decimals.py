"""Numbers become the very characters that pandas writes for them."""

import numpy as np
import pandas as pd
import pytest

from dlc_jupyter.pose import decimals

random = np.random.default_rng(0)
POWERS = np.float32([10.0**power for power in range(-6, 9)] + [2.0**power for power in range(-20, 24)])

FLOAT32 = {
    "likelihoods": random.random(20_000, dtype=np.float32),
    "pixels": random.normal(600, 500, 20_000).astype(np.float32),
    "any bits": random.integers(0, 1 << 32, 50_000, dtype=np.uint32).view(np.float32),
    "all over the range": np.arange(*np.float32([1e-4, 1e6]).view(np.uint32), 1499, dtype=np.uint32).view(np.float32),
    "all sizes": (10 ** random.uniform(-6, 8, 50_000)).astype(np.float32),
    "whole numbers": np.arange(-9_000, 1_500_000, 31, dtype=np.float32),
    "eighths": np.arange(-4_000, 4_000, dtype=np.float32) / 8,
    "thousandths": (np.arange(50_000) / 1000).astype(np.float32),
    "around powers": (POWERS.view(np.uint32) + np.arange(-60, 61, dtype=np.int64)[:, None]).astype(np.uint32),
    "special": np.float32([0, -0.0, np.nan, np.inf, -np.inf, -1, 1, 1e-45, 3.4e38, 1e-4, 9.9999e5, 999_999.94, 1e16]),
}
FLOAT32["around powers"] = FLOAT32["around powers"].view(np.float32).ravel()
FLOAT64 = {
    "widened": random.random(5_000, dtype=np.float32).astype(np.float64) * 640,
    "whole numbers": np.arange(-9_000.0, 1_100_000.0, 37),
    "special": np.array([0, -0.0, np.nan, np.inf, -np.inf, -1, 5e-324, -1.2345678901234567e-308, 1e16, 0.1, -2.5]),
}


@pytest.mark.parametrize(
    "values", [*FLOAT32.values(), *FLOAT64.values()], ids=[*FLOAT32, *(f"{n} 64" for n in FLOAT64)]
)
def test_a_number_is_written_as_str_writes_it(values):
    cells = decimals.cells(values)
    assert cells.shape[0] == len(values)
    texts = cells.tobytes().translate(None, b"\0").decode().split(",")
    assert texts.pop() == ""
    assert texts == ["" if np.isnan(value) else text for value, text in zip(values, values.astype(str), strict=True)]


def test_rows_are_those_that_pandas_writes():
    narrow = random.normal(200, 300, (500, 6)).astype(np.float32)
    wide = narrow[:, :3].astype(np.float64)
    narrow[::7] = np.nan
    table = pd.concat([pd.DataFrame(narrow), pd.DataFrame(wide)], axis=1)
    table.index = range(95, 595)
    assert decimals.rows(range(95, 595), narrow, wide).decode() == table.to_csv(header=False, lineterminator="\n")
