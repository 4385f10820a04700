"""detr_attnviz, warm, in a process set up as its command sets itself up.

Whole folders and cold starts are measured with the command itself.
"""

import detr_attnviz as av
from benchmarks.peers.serving import serve


def main() -> None:
    av.tune_process()
    from benchmarks.peers.our_detector import Ours  # imports torch, which must find the process tuned

    serve(Ours().handlers())


if __name__ == "__main__":
    main()
