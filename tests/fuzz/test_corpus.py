"""What fuzzing found once is answered in our own words ever since; what is still wrong waits with its reason."""

import pytest

from tests.fuzz.cases import TARGETS, spare_bytes, target
from tests.fuzz.found import CORPUS, FOUND, WAITING
from tests.fuzz.memory import begin_peak, peak


def _marked(name: str) -> object:
    waits = pytest.mark.xfail(reason=WAITING.get(name, ""), strict=True)
    return pytest.param(name, marks=waits if name in WAITING else ())


@pytest.mark.filterwarnings("ignore")  # of Pillow and torch about damaged files
@pytest.mark.parametrize("name", [_marked(name) for name in FOUND])
def test_what_was_found_is_answered_in_our_own_words(name: str) -> None:
    data = (CORPUS / name).read_bytes()
    fuzzed = target(name.partition("/")[0])
    fuzzed.seeds()
    before = begin_peak()
    fuzzed.run(data)
    assert peak() - before <= 2 * len(data) + spare_bytes(name.partition("/")[0])


def test_every_folder_of_the_corpus_is_a_target() -> None:
    assert {name.partition("/")[0] for name in FOUND} <= set(TARGETS)
    assert WAITING.keys() <= set(FOUND)
