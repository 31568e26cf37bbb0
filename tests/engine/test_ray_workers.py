"""Ray: the same figures on a cluster, also when a machine of it is lost in the middle."""

import subprocess
import sys
import threading
import time

import pytest
import tiny
from test_processes import check_errors_of_the_system

from tf_compleak.engine import ray_workers
from tf_compleak.engine.tasks import Task

HERE = "test_processes"


def quiet(*_):
    pass


@pytest.mark.parametrize("word", ["train", "train:gpu", "train:gpu=x", "fly:gpu=1", "train:=1"])
def test_resources_that_are_none(word):
    with pytest.raises(ValueError, match="STAGE:RESOURCE=AMOUNT"):
        ray_workers.parse_resources([word])


def test_resources():
    found = ray_workers.parse_resources(["train:gpu=1", "train:cpu=2", "attack:big=0.5"])
    assert found == {"train": (("cpu", 2.0), ("gpu", 1.0)), "attack": (("big", 0.5),)}
    assert ray_workers.stage_of(Task("", "tf_compleak.studies.run.stage_work:null", ())) == "attack"
    assert ray_workers.stage_of(Task("", "m:perform", (), resources="train")) == "train"


def test_without_ray_there_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'tf-compleak\[ray\]'"):
        ray_workers.Cluster(1, 1, tmp_path).__enter__()


def test_an_address_where_nobody_answers_gets_one_line(tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    for address in ("127.0.0.1:1", "no.such.host.invalid:6379", "127.0.0.1:x", "ray://a:1"):
        with pytest.raises(ValueError, match=f"--ray_address={address}: "):
            ray_workers.Cluster(1, 1, tmp_path, address).__enter__()


@pytest.fixture(scope="module")
def machines():
    """A head without CPUs for workers, and a function that adds a machine with some."""
    pytest.importorskip("ray", reason="needs the extra ray")
    ray_workers._imported()
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.mark.ray
def test_values_failures_and_resources_of_tasks(machines, tmp_path):
    node = machines.add_node(num_cpus=2, resources={"big": 1})
    tasks = [
        Task("a", f"{HERE}:add", (1, 2)),
        Task("b", f"{HERE}:add", (3, 4), needs=("a",)),
        Task("c", f"{HERE}:fail", ("value",)),
        Task("d", f"{HERE}:add", (5, 6), needs=("c",)),
        Task("e", f"{HERE}:die", ()),
    ]
    told, resources = [], {"attack": (("big", 1.0), ("cpu", 2.0))}
    for more in ({}, resources):
        with ray_workers.Cluster(0, 1, tmp_path, machines.address, more) as executor:
            outcomes = executor.run(tasks, lambda *news: told.append(news))
            check_errors_of_the_system(executor)
        assert (outcomes["a"].value, outcomes["b"].value) == (3, 7)
        assert outcomes["c"].error == outcomes["d"].error == "a value error"
        assert "died (signal 11)" in outcomes["e"].error
    assert ("a", 1, 2, "half") in told
    machines.remove_node(node)


def begun(logs, words="begun"):
    """The tasks of which their log says so."""
    return {path.stem for path in logs.glob("*.log") if f" {words}\n" in path.read_text()}


def ended(workdir):
    """The tasks that have ended."""
    return {task for task, _ in tiny.events(workdir)}


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_machine_lost_in_the_middle_changes_no_figure(machines, tmp_path):
    """Two machines; one is killed while its worker is at a task."""
    for executor in ("inline", "processes"):
        done = subprocess.run(
            tiny.command(tmp_path / executor, executor=executor), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    first, second = (machines.add_node(num_cpus=1) for _ in range(2))
    flags = [f"--ray_address={machines.address}"]
    process = subprocess.Popen(
        tiny.command(tmp_path / "ray", *flags, executor="ray"), stderr=subprocess.PIPE, text=True
    )
    logs = tmp_path / "ray" / "logs"

    def kill_one():
        """Once both machines are at a task."""
        while process.poll() is None and len(begun(logs) - ended(tmp_path / "ray")) < 2:
            time.sleep(0.05)
        machines.remove_node(first, allow_graceful=False)

    thread = threading.Thread(target=kill_one)
    thread.start()
    _, error = process.communicate(timeout=600)
    thread.join()
    assert process.returncode == 0, error
    assert begun(logs, "begun again: its worker was lost")
    assert (
        tiny.figures(tmp_path / "ray")
        == tiny.figures(tmp_path / "inline")
        == tiny.figures(tmp_path / "processes")
    )
    machines.remove_node(second)


def test_there_are_three_executors(tmp_path):
    from tf_compleak.studies.options import EXECUTORS, Options

    assert EXECUTORS == ("processes", "inline", "ray")
    with pytest.raises(ValueError, match=r"--executor: unknown 'rays'. Did you mean 'ray'"):
        Options(workdir=str(tmp_path), executor="rays")
