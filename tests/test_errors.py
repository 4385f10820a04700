"""What errors say."""

import pytest

from detr_attnviz import errors


def test_keys_error_lists_every_key_sorted() -> None:
    error = errors.CheckpointKeysError(
        "x.pth", missing=["b", "a"], unexpected=["c"], wrong_shape=["d [1] instead of [2]"]
    )
    assert error.missing == ("a", "b")
    assert str(error) == (
        "x.pth: tensors do not fit a DETR: 2 missing (a, b); 1 unexpected (c); "
        "1 of another shape (d [1] instead of [2])"
    )


def test_keys_error_stays_short() -> None:
    error = errors.CheckpointKeysError("x.pth", missing=[f"k{number:03}" for number in range(400)])
    assert "400 missing (k000, " in str(error)
    assert "and 388 more" in str(error)
    assert len(error.missing) == 400


def test_missing_extra_names_the_command() -> None:
    assert 'pip install "detr-attnviz[hf]"' in str(errors.MissingExtraError("Conditional DETR", "hf"))


@pytest.mark.parametrize("name", [name for name in dir(errors) if name.endswith("Error")])
def test_every_error_is_an_attnviz_error(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.AttnVizError)
    assert name in (errors.__doc__ or "")
