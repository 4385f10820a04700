"""A model of transformers that detr_attnviz watches, warm, in a process set up as the command sets itself up."""

import detr_attnviz as av
from benchmarks.peers.serving import serve


def main() -> None:
    av.tune_process()
    from benchmarks.peers.watched import Watched  # imports torch, which must find the process tuned

    serve(Watched().handlers())


if __name__ == "__main__":
    main()
