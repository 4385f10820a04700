"""A worker that does nothing worth measuring: what ``test_workers`` talks to."""

import os
import sys

from benchmarks.peers.serving import serve


def add(first: int, second: int) -> int:
    return first + second


def chatter() -> str:
    print("a library's greeting")
    os.write(1, b"and one from below Python\n")
    return "done"


def die() -> None:
    print("the reason of its death", file=sys.stderr, flush=True)
    os._exit(3)


if __name__ == "__main__":
    serve({"add": add, "chatter": chatter, "die": die})
