"""Hamilton with its cache (SQLite and files): a written module, for it identifies steps by their source."""
# Hamilton is installed in an environment of its own, out of the type checker's sight.
# mypy: ignore-errors

import importlib
import sys

from hamilton import driver

from bench.peers.chain import Chain, time_chains


def source(count: int) -> str:
    steps = ["def step_0() -> int:\n    return 1\n"]
    steps += [f"def step_{i}(step_{i - 1}: int) -> int:\n    return step_{i - 1} + 1\n" for i in range(1, count)]
    return "\n\n".join(steps)


def run(asked: Chain) -> int:
    name = f"chain_{asked.number}"
    (asked.folder / f"{name}.py").write_text(source(asked.count))
    if str(asked.folder) not in sys.path:
        sys.path.insert(0, str(asked.folder))
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    built = driver.Builder().with_modules(module).with_cache(str(asked.folder / f"cache_{asked.number}")).build()
    last = f"step_{asked.count - 1}"
    return built.execute([last])[last]


if __name__ == "__main__":
    time_chains(run)
