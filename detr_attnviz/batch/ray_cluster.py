"""Joining a Ray cluster for the time of a run, and Ray's errors as ours.

Ray is an optional package, and imported only when a run asks for it.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from detr_attnviz.errors import AttnVizError
from detr_attnviz.files import reason_of

_REACH_S = 10
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # a run tells nobody that it ran


@contextmanager
def cluster() -> Iterator[Any]:
    """Ray, connected, keeping pictures in order and quiet; what was started or set here ends here.

    Raises: AttnVizError when there is no cluster, or when Ray itself fails at something in the block.
    """
    ray = import_module("ray")
    data = import_module("ray.data")
    was_there = ray.is_initialized()
    with _set_for_a_while(_QUIET if not was_there else {}):
        try:
            if not was_there:
                _join(ray)
            with _in_order_and_quiet(data):
                yield ray
        except ray.exceptions.RayError as error:
            if isinstance(error, (ray.exceptions.RayTaskError, ray.exceptions.UserCodeException)):
                raise  # an error of this package, in a worker
            told = f"the cluster failed: {_first_line(error)}; the same command goes on from there"
            raise AttnVizError(f"--engine ray: {told}") from error
        finally:
            if not was_there:
                ray.shutdown()


def _join(ray: Any) -> None:
    address = os.environ.get("RAY_ADDRESS")
    try:
        host, _, port = (address or "").removeprefix("ray://").rpartition(":")
        if host and port.isdecimal():  # where nobody listens Ray would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
        ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except Exception as error:  # of many kinds, for an address, a network, a machine
        if address:
            told = (
                f"no cluster at RAY_ADDRESS={address}: {_first_line(error)}; correct it, or unset it to start one here"
            )
            raise AttnVizError(f"--engine ray: {told}") from error
        told = f"Ray cannot start here: {_first_line(error)}; set RAY_ADDRESS to a cluster, or use --engine local"
        raise AttnVizError(f"--engine ray: {told}") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return reason_of(error)
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


@contextmanager
def _set_for_a_while(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables that are not set."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _in_order_and_quiet(data: Any) -> Iterator[None]:
    context, logger = data.DataContext.get_current(), logging.getLogger("ray.data")
    was = context.enable_progress_bars, context.execution_options.preserve_order, logger.level
    context.enable_progress_bars, context.execution_options.preserve_order = False, True
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.execution_options.preserve_order = was[:2]
        logger.setLevel(was[2])
