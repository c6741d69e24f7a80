"""The foundation in half a minute: run a pipeline, kill it in the middle, run it again; nothing is done twice."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
LW = [str(Path(sys.executable).with_name("lw"))]


def lw(folder: Path, *words: str) -> subprocess.Popen[str]:
    print(f"\n$ lw {' '.join(words)}", flush=True)
    return subprocess.Popen([*LW, *words], cwd=folder, text=True)


def kill_when_a_step_ran(folder: Path, running: subprocess.Popen[str]) -> None:
    """End everything at once, without a chance to tidy up, as a power cut does."""
    while running.poll() is None:
        listed = subprocess.run([*LW, "show", "last"], cwd=folder, capture_output=True, text=True, check=False).stdout
        if "late" in listed and "running" in listed.partition("late")[2]:
            break
        time.sleep(0.1)
    print("   ... kill -9 in the middle of the second step", flush=True)
    running.send_signal(signal.SIGKILL)
    running.wait()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="loopwright-demo-"))
    shutil.copy(HERE / "pipeline.py", folder)
    kill_when_a_step_ran(folder, lw(folder, "run", "pipeline.py"))
    for words in (
        ("runs",),
        ("run", "pipeline.py"),
        ("run", "pipeline.py", "--param", "minutes=30"),
        ("run", "pipeline.py"),
        ("logs", "last", "--step", "summary"),
        ("show", "last"),
    ):
        if lw(folder, *words).wait() != 0:
            sys.exit(1)
    print(f"\nThe workspace stays in {folder}: try  cd {folder} && {os.path.relpath(LW[0], folder)} events")


if __name__ == "__main__":
    main()
