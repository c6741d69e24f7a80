"""A gateway on a real port, under what is thrown at gateways: slow clients by the hundred, and three times its load."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
from tests.unit.serving import Multiplier, a_model
from tests.unit.wires import Gatehouse, request

from loopwright.core.clock import SystemClock
from loopwright.gateway.lanes import Patience
from loopwright.serve import http_server, listening
from loopwright.transform.predictor import Predictions

Found = TypeVar("Found")
CLOCK = SystemClock()
DEADLINE_SECONDS, ROW_SECONDS = 2.0, 0.005


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path, patience=Patience(deadline_seconds=DEADLINE_SECONDS))
    made.station.promote(1)
    yield made
    made.close()


def served(house: Gatehouse, story: Callable[[int], Awaitable[Found]]) -> Found:
    """What comes of it while the gateway serves, in a thread, on a port of this machine."""
    opened = listening.listen("127.0.0.1", 0)[0]
    ready = threading.Event()
    config = uvicorn.Config(
        house.station.client.served, http=http_server.connections(house.hub), log_config=None, lifespan="off"
    )
    running = http_server.Server(config, house.hub, ready.set)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [opened]})
    thread.start()
    try:
        assert ready.wait(10)
        return asyncio.run(_told(story, opened.getsockname()[1]))
    finally:
        running.should_exit = running.force_exit = True
        thread.join()


async def _told(story: Callable[[int], Awaitable[Found]], port: int) -> Found:
    return await story(port)


async def status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    return int(head.split()[1])


async def timed(port: int, count: int) -> list[float]:
    """Seconds that each of so many requests took, one after the other, shortest first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for _ in range(count):
        begun = CLOCK.monotonic()
        writer.write(request())
        assert await status(reader) == 200
        found.append(CLOCK.monotonic() - begun)
    writer.transport.abort()
    return sorted(found)


async def slow(port: int, number: int) -> None:
    """Sends its head, or its body, a byte at a time; nothing at all; or requests whose answers it never reads."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    data = request()
    body = data.index(b"\r\n\r\n") + 4
    sent = {0: 0, 1: body, 2: len(data), 3: len(data)}[number % 4]
    try:
        if number % 4 < 3:
            writer.write(data[:sent])
            for byte in data[sent:]:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)
        else:
            writer.write(data * 50)
        await asyncio.sleep(60)
    finally:
        writer.transport.abort()


def test_five_hundred_slow_clients_starve_nobody(house: Gatehouse) -> None:
    async def story(port: int) -> tuple[list[float], list[float]]:
        alone = await timed(port, 300)
        tasks = [asyncio.create_task(slow(port, number)) for number in range(500)]
        await asyncio.sleep(1.5)
        assert not any(task.done() for task in tasks)
        beside = await timed(port, 300)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)
        return alone, beside

    alone, beside = served(house, story)
    assert beside[150] < 10 * alone[150] + 0.02
    assert beside[-1] < 1.0


class Sleepy(Multiplier):
    """Takes its time for every row, as a big model does, and lets others work meanwhile."""

    def run(self, feed: Any, options: Any = None) -> Predictions:
        CLOCK.sleep(ROW_SECONDS * len(feed["distance"]))
        return super().run(feed)


async def offered(port: int, rate: float, seconds: float) -> tuple[Counter[int], list[float]]:
    """Requests at a fixed rate, whether or not they are answered: their statuses, and the seconds of the good ones."""
    statuses: Counter[int] = Counter()
    took: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begun = CLOCK.monotonic()
        writer.write(request())
        found = await status(reader)
        statuses[found] += 1
        if found == 200:
            took.append(CLOCK.monotonic() - begun)
        writer.transport.abort()

    begun = CLOCK.monotonic()
    tasks: list[asyncio.Task[None]] = []
    while (passed := CLOCK.monotonic() - begun) < seconds:
        tasks += [asyncio.create_task(one()) for _ in range(int(passed * rate) - len(tasks))]
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    await asyncio.sleep(0.1)
    return statuses, took


def test_at_three_times_the_load_nine_tenths_of_the_capacity_are_answered_in_time(house: Gatehouse) -> None:
    model = a_model(2, Sleepy(2.0))
    house.station.models["flights", 2] = type(model)(
        version=model.version, predictor=model.predictor, decoder=model.decoder, row_seconds=ROW_SECONDS
    )
    house.station.table.put(("champion", 2, 1.0))
    house.station.gateway.refresh()
    capacity, seconds = 1 / ROW_SECONDS, 4.0

    statuses, took = served(house, lambda port: offered(port, 3 * capacity, seconds))
    assert set(statuses) == {200, 503}
    assert max(took) < DEADLINE_SECONDS
    assert statuses[200] >= 0.9 * capacity * seconds * 0.9  # a sleep takes longer than asked for, on a busy machine
    assert statuses[503] > statuses[200]
