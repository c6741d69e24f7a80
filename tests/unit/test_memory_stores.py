"""The memory twins pass the suite that the real stores pass."""

import pytest

from loopwright.core.stores import Blobs, Stores
from loopwright.testing import HandClock, memory_stores
from loopwright.testing.conformance import BlobsConformance, StoresConformance
from loopwright.testing.conformance_live import LiveStoresConformance
from loopwright.testing.memory import MemoryBlobs


class TestMemory(StoresConformance, LiveStoresConformance):
    @pytest.fixture
    def stores(self) -> Stores:
        return memory_stores()


class TestMemoryBlobs(BlobsConformance):
    @pytest.fixture
    def blobs(self) -> Blobs:
        return MemoryBlobs(HandClock())
