"""Two processes that decide the same things at once on one store, two hundred times: exactly one wins each time."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import SOURCE

from loopwright.core.stores import Stores
from loopwright.testing.live_nouns import two_versions
from loopwright.testing.races import RACES

CONTROLLER = """
import json, sys
from dataclasses import replace
from pathlib import Path
from tests.conftest import open_database, stores_on
from loopwright.core.progress import Progress
from loopwright.core.version import CHAMPION
from loopwright.testing.conformance import a_route, at, cause
from loopwright.testing.live_nouns import a_release, a_retraining, ramp
from loopwright.testing.races import outcome

url, folder, name = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
stores = stores_on(open_database(url, folder / "backups"), folder / "blobs")
for line in sys.stdin:
    number = int(line)
    loop = f"loop-{number}"
    did = [
        outcome(lambda: stores.retrainings.claim(a_retraining(f"{name}-{number}", loop=loop), cause())),
        outcome(lambda: stores.progress.put(Progress(name=loop, value={"by": name}), cause())),
        outcome(lambda: stores.releases.begin(a_release(f"{name}-{number}"), None, 1, cause(), "ReleaseBegun", {})),
        outcome(lambda: stores.routes.change(ramp(0.5, "promoted"), {CHAMPION: 1}, cause(), number + 1)),
    ]
    print(json.dumps(["tester" if isinstance(one, Exception) and "tester" in str(one) else
                      str(one) if isinstance(one, Exception) else "won" for one in did]), flush=True)
    sys.stdin.readline()
    if not isinstance(did[2], Exception):
        stores.releases.move(replace(did[2], status="aborted", ended_at=at(1)), None, cause(), "ReleaseAborted", {})
    print("next", flush=True)
"""


def race(stores: Stores, url: str, folder: Path) -> None:
    """Fails unless of each pair one won, and the other was told who did."""
    for loop in ("flights", "promoted"):
        two_versions(stores, loop)
    rivals = [rival(url, folder, name) for name in ("a", "b")]
    for number in range(RACES):
        outcomes = [json.loads(said) for said in ask_all(rivals, str(number))]
        for pair in zip(*outcomes, strict=True):
            assert sorted(pair) == ["tester", "won"], (number, pair)
        assert ask_all(rivals, "go on") == ["next", "next"]
    for one in rivals:
        one.communicate(timeout=60)
        assert one.returncode == 0
    assert len(stores.releases.list(limit=2 * RACES)) == RACES
    assert len(stores.retrainings.unfinished()) == RACES
    assert len(stores.routes.history("promoted")) == RACES + 1


def ask_all(rivals: list[subprocess.Popen[str]], line: str) -> list[str]:
    """The same thing of both, so that they do it at once."""
    for one in rivals:
        assert one.stdin
        one.stdin.write(f"{line}\n")
        one.stdin.flush()
    return [one.stdout.readline().strip() for one in rivals if one.stdout]


def rival(url: str, folder: Path, name: str, program: str = CONTROLLER) -> subprocess.Popen[str]:
    """A process that does what it is told, a line at a time, and answers with a line."""
    path = os.pathsep.join([str(SOURCE), str(SOURCE.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", program, url, str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
