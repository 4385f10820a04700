"""Joining a Ray cluster: what its faults become, and that the process is as it was afterwards."""

import os
import socket
from types import SimpleNamespace

import pytest

from detr_attnviz.batch import ray_cluster
from detr_attnviz.errors import AttnVizError


@pytest.fixture
def ray_that_fails(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands for Ray; what ``fault`` is set to is raised where it joins a cluster."""

    def init(**_: object) -> None:
        ray.environments.append({name: os.environ.get(name) for name in ray_cluster._QUIET})
        if ray.fault is not None:
            raise ray.fault

    options = SimpleNamespace(preserve_order=False)
    context = SimpleNamespace(enable_progress_bars=True, execution_options=options)
    ray = SimpleNamespace(fault=None, environments=[], ended=[], init=init)
    ray.is_initialized, ray.shutdown = lambda: False, lambda: ray.ended.append(True)
    ray.data = SimpleNamespace(DataContext=SimpleNamespace(get_current=lambda: context))
    base = type("RayError", (Exception,), {})
    ray.exceptions = SimpleNamespace(
        RayError=base,
        RayTaskError=type("RayTaskError", (base,), {}),
        UserCodeException=type("UserCodeException", (base,), {}),
        ActorDiedError=type("ActorDiedError", (base,), {}),
    )
    monkeypatch.setattr(ray_cluster, "import_module", {"ray": ray, "ray.data": ray.data}.__getitem__)
    return ray


@pytest.mark.parametrize(
    "fault", [ConnectionError("no route\nmore"), RuntimeError("no route."), ValueError("no route")]
)
def test_an_address_without_a_cluster_is_one_line_that_names_it(
    ray_that_fails: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    ray_that_fails.fault = fault
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(AttnVizError, match=r"ray: no cluster at RAY_ADDRESS=auto: no route; .*unset it") as one:
        join_and_leave()
    assert "\n" not in str(one.value)
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(AttnVizError, match="ray: Ray cannot start here: no route; .*--engine local"):
        join_and_leave()


@pytest.mark.parametrize("kind", ["", "ray://"])
def test_an_address_where_nobody_listens_is_told_without_waiting_for_ray(
    ray_that_fails: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"{kind}127.0.0.1:{port}")
        join_and_leave()
    with pytest.raises(AttnVizError, match=rf"no cluster at RAY_ADDRESS={kind}127.0.0.1:{port}: connection refused; "):
        join_and_leave()
    assert len(ray_that_fails.environments) == 1


def test_an_error_of_ray_itself_is_one_line_and_one_of_a_task_stays(ray_that_fails: SimpleNamespace) -> None:
    errors = ray_that_fails.exceptions
    with pytest.raises(AttnVizError, match=r"--engine ray: the cluster failed: it died; the same command goes on"):
        join_and_leave(errors.ActorDiedError("it died.\nhow: much more"))
    for kind in (errors.RayTaskError, errors.UserCodeException, ZeroDivisionError):
        with pytest.raises(kind, match="a bug"):
            join_and_leave(kind("a bug"))
    assert len(ray_that_fails.ended) == 4


def test_the_environment_is_as_it_was_after_a_run(
    ray_that_fails: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.delenv("RAY_BACKEND_LOG_LEVEL", raising=False)
    join_and_leave()
    assert ray_that_fails.environments == [{"RAY_USAGE_STATS_ENABLED": "1", "RAY_BACKEND_LOG_LEVEL": "fatal"}]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"
    assert "RAY_BACKEND_LOG_LEVEL" not in os.environ


def join_and_leave(error: Exception | None = None) -> None:
    with ray_cluster.cluster():
        if error is not None:
            raise error
