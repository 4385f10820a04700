"""What a page calls its pictures."""

import pytest

from detr_attnviz.explorer.names import picture_names


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["a/x.png"], ["x.png"]),
        (["/home/me/a/x.png", "/home/me/b/x.png"], ["a/x.png", "b/x.png"]),
        (["a/x.png", "b/x.png", "b/y.png"], ["a/x.png", "b/x.png", "y.png"]),
        (["a/c/x.png", "b/c/x.png"], ["a/c/x.png", "b/c/x.png"]),
        (["x.png", "b/x.png"], ["x.png", "b/x.png"]),
        (["x.png", "x.png"], ["x.png", "x.png"]),
        (["", ""], ["picture", "picture"]),
        (["a\nb.png"], ["a b.png"]),
    ],
)
def test_no_more_of_a_path_than_tells_them_apart(sources: list[str], names: list[str]) -> None:
    assert picture_names(sources) == names
