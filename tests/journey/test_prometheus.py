"""The dashboard and the alerts, on a real Prometheus that scrapes a real gateway: every query finds something."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import lw
from tests.journey.test_serve import Project, as_json, flights, models, project, served

from loopwright.gateway.families import FAMILIES, Kind

__all__ = ["models", "project"]  # fixtures

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="Prometheus is not installed: apt-get install prometheus",
)
CASES = Path(__file__).with_name("alerts_test.yml")
RECORDED = re.compile(r"loopwright:[a-z_:0-9]+")
NAMED = re.compile(r"\b(loopwright_[a-z_]+|up)\b")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("monitoring")
    done = lw("dashboards", "--output", str(folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def queries(folder: Path) -> dict[str, str]:
    """Of every panel: the query, as Grafana would send it."""
    dashboard = json.loads((folder / "loopwright-dashboard.json").read_text())
    found = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$loop", ".+").replace("$__rate_interval", "1m")
            found[f"{panel['title']} {target['refId']}"] = query
    return found


def rules(folder: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((folder / "loopwright-alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, text: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        parameters = urllib.parse.urlencode({"query": text})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{parameters}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
        return found

    def numbers(self, text: str) -> list[float]:
        values = [float(one["value"][1]) for one in self.query(text)]
        return [value for value in values if not math.isnan(value)]

    def wait(self, text: str) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if self.numbers(text):
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"nothing came of {text}")


@contextmanager
def scraping(target: str, folder: Path, rule_file: Path) -> Iterator[Prometheus]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    scrape = {"job_name": "loopwright", "static_configs": [{"targets": [target.removeprefix("http://")]}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": every, "rule_files": [str(rule_file)], "scrape_configs": [scrape]}))
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait()


def use(project: Project, seconds: float) -> None:
    """A little load, on every kind of endpoint."""
    row = as_json(flights(1, seed=3))[0]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert project.post("/v1/loops/flights/predict", {"row": row})[0] == 200
        assert project.post("/v1/loops/flights/predict", {"rows": [row] * 3, "unit": "somebody"})[0] == 200
        assert project.post("/invocations", {"instances": [row]})[0] == 200
        assert project.post("/v1/loops/flights/predict", {"row": {}})[0] == 422
        assert project.get("/v1/loops")[0] == 200
        time.sleep(0.02)


def test_every_query_of_the_dashboard_and_of_the_alerts_finds_what_it_asks_for(
    project: Project, written: Path, tmp_path: Path
) -> None:
    with (
        served(project, "--workers", "2"),
        scraping(project.url, tmp_path, written / "loopwright-alerts.yml") as prometheus,
    ):
        prometheus.wait("loopwright_workers == 2")
        use(project, 4)
        prometheus.wait("rate(loopwright_requests_total[1m]) > 0")
        prometheus.wait("loopwright:slow:ratio_rate5m")
        assert len(queries(written)) > 30
        has_gpu = bool(prometheus.query("loopwright_gpu_share"))
        empty = [
            name
            for name, query in queries(written).items()
            if not prometheus.numbers(query) and (has_gpu or "gpu" not in query)
        ]
        assert empty == []
        for rule in rules(written):
            for name in {*RECORDED.findall(rule["expr"]), *NAMED.findall(rule["expr"])}:
                assert prometheus.query(name), (rule, name)
            if "record" in rule:
                assert prometheus.numbers(rule["expr"]), rule
        firing = {one["metric"]["alertname"] for one in prometheus.query('ALERTS{alertstate="firing"}')}
        assert firing <= {"LoopSlow"}  # of a machine that is busy with other tests


def test_the_counters_of_all_workers_agree_with_what_was_asked(project: Project, written: Path, tmp_path: Path) -> None:
    row = as_json(flights(1, seed=3))[0]
    with (
        served(project, "--workers", "2"),
        scraping(project.url, tmp_path, written / "loopwright-alerts.yml") as prometheus,
    ):
        for _ in range(200):
            assert project.post("/v1/loops/flights/predict", {"row": row})[0] == 200
        prometheus.wait('sum(loopwright_requests_total{loop="flights", status="200"}) == 200')
        assert prometheus.numbers("sum(loopwright_latency_seconds_count)") == [200]
        assert prometheus.numbers("sum(loopwright_rows_total)") == [200]
        assert len(prometheus.query("loopwright_process_memory_bytes")) == 2


def test_the_dashboard_shows_every_family(written: Path) -> None:
    shown = " ".join(queries(written).values())
    called = {one.name + ("_total" if one.kind is Kind.COUNTER else "") for one in FAMILIES}
    assert {name for name in called if name not in shown} == set()
    assert set(NAMED.findall(shown)) <= called | {
        f"{name}_{end}" for name in called for end in ("bucket", "sum", "count")
    }


def test_the_rules_are_right_by_promtool(written: Path) -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(written / "loopwright-alerts.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_should_and_only_then(written: Path, tmp_path: Path) -> None:
    shutil.copy(written / "loopwright-alerts.yml", tmp_path)
    shutil.copy(CASES, tmp_path)
    done = subprocess.run(
        ["promtool", "test", "rules", CASES.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = {
        (case["alertname"], bool(case.get("exp_alerts")))
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
    }
    known = {rule["alert"] for rule in rules(written) if "alert" in rule}
    assert tested == {(name, fires) for name in known for fires in (True, False)}
