from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.material import picture, write_pictures


def test_pictures_are_the_same_each_time_and_differ_from_each_other(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_pictures(tmp_path / name, 3, 64, 48)
    found = [[file.read_bytes() for file in sorted((tmp_path / name).iterdir())] for name in ("one", "other")]
    assert found[0] == found[1]
    assert len(set(found[0])) == 3


def test_more_pictures_than_drawn_are_whole_pictures_too(tmp_path: Path) -> None:
    write_pictures(tmp_path, 70, 32, 24)
    files = sorted(tmp_path.glob("*.jpg"))
    assert len(files) == 70
    for file in files:
        with Image.open(file) as opened:
            assert np.asarray(opened).shape == (24, 32, 3)


def test_pictures_have_detail_at_every_scale() -> None:
    pixels = np.asarray(picture(0, 128, 96), dtype=np.float32)
    steps = [np.abs(pixels[:, step:] - pixels[:, :-step]).mean() for step in (1, 8, 32)]
    assert 4 < steps[0] < steps[1] < steps[2]
