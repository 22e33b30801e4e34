"""Which reads of the activation memory serve the taps of a layer on `sparse-rows`."""

import functools
from dataclasses import dataclass

import numpy as np

from compress.model.graph import Layer
from rtl.config import CoreConfig
from rtl.program.layout import Layout


@dataclass(frozen=True, eq=False)
class ReadPlan:
    """How windows of reads cover a layer's columns.

    Parameters
    ----------
    window, read, shift : int64 [columns], the window that serves a column, the read in the window,
        and the tap in the read
    reads, windows : reads and windows of a tile
    table : int64 [slots], addresses of one channel's reads
    step : bytes from a channel to the next
    """

    window: np.ndarray
    read: np.ndarray
    shift: np.ndarray
    reads: int
    windows: int
    table: np.ndarray
    step: int

    def of_windows(self, config: CoreConfig) -> np.ndarray:
        """int64 [windows]: reads of each."""
        reads = np.full(self.windows, config.window_reads)
        reads[-1] = self.reads - (self.windows - 1) * config.window_reads
        return reads


def read_plan(layout: Layout, config: CoreConfig) -> ReadPlan:
    """Cover each kernel row's taps with as few reads of `window_span` bytes as possible."""
    return _plan(layout, config.window_reads, config.window_span)


@functools.lru_cache(maxsize=16)
def _plan(layout: Layout, window_reads: int, window_span: int) -> ReadPlan:
    g, channels = layout.geometry, layout.channels
    taps = layout.tap_addresses().reshape(channels, *g.kernel)
    read, shift = np.zeros(g.kernel, np.int64), np.zeros(g.kernel, np.int64)
    table: list[int] = []
    for r, row in enumerate(taps[0]):
        for s in np.argsort(row):
            address = int(row[s])
            if s == np.argmin(row) or address >= table[-1] + window_span:
                table.append(address)
            read[r, s], shift[r, s] = len(table) - 1, address - table[-1]
    of_tile = np.arange(channels)[:, None, None] * len(table) + read
    window, of_window = np.divmod(of_tile.reshape(-1), window_reads)
    reads = channels * len(table)
    return ReadPlan(
        window=window,
        read=of_window,
        shift=np.broadcast_to(shift, taps.shape).reshape(-1),
        reads=reads,
        windows=-(-reads // window_reads),
        table=np.array(table),
        step=int(taps[1, 0, 0] - taps[0, 0, 0]) if channels > 1 else 0,
    )


@functools.lru_cache(maxsize=16)
def window_weights(layer: Layer, plan: ReadPlan) -> np.ndarray:
    """int16 [filters, windows]: weights of each filter in each window."""
    filters = layer.geometry.out_channels
    cell = layer.row_idx * plan.windows + plan.window[layer.col_idx]
    counts = np.bincount(cell, minlength=filters * plan.windows)
    return counts.reshape(filters, plan.windows).astype(np.int16)
