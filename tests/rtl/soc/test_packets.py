"""Packets: what reaches the core, and what is thrown away, for streams that begin and end as they
like. Words are numbered, so that each can be followed."""

import random
from collections.abc import Iterator

import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import watch

from rtl.soc.packets import OWED_MAX, LayerPackets, MapPackets

BITS = 12
ONES = (1 << BITS) - 1
ROWS = 5


def simulate(part, testbench) -> None:
    simulator = Simulator(part)
    simulator.add_clock(1e-9)
    simulator.add_testbench(testbench)
    watch(simulator, part.clear, input=(part.i, part.i_last))
    simulator.run()


class Source:
    """Packets on a stream: a word stays on offer until it is taken."""

    def __init__(self, lengths: Iterator[int]):
        self._lengths = lengths
        self.packet, self.row, self._left = -1, 0, 0
        self.next_packet()
        self._valid = False

    def next_packet(self) -> None:
        self.packet, self.row = self.packet + 1, 0
        self._left = next(self._lengths)
        self._valid = False

    @property
    def word(self) -> int:
        return self.packet * 16 + self.row

    def offer(self, ctx, part, wanted: bool) -> None:
        self._valid |= wanted
        ctx.set(part.i.valid, self._valid)
        ctx.set(part.i.payload, self.word)
        ctx.set(part.i_last, self._left == 1)

    def taken(self, ctx, part) -> bool:
        """Goes on after a word that is taken at the coming edge."""
        if not (self._valid and ctx.get(part.i.ready)):
            return False
        self._valid = False
        self.row, self._left = self.row + 1, self._left - 1
        if not self._left:
            self.next_packet()
        return True


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_maps_reach_the_core_whole_or_are_thrown_away(seed: int) -> None:
    """A reset throws away the map that it cuts, or that a layer waits for, unless its last row has
    come in the cycle before; of a map that is too long the core gets as many rows as it holds and
    one; a clear begins anew."""
    rng = random.Random(seed)
    part = MapPackets(BITS, ROWS)
    source = Source(
        rng.choice([1, 2, ROWS - 1, ROWS, ROWS, ROWS + 1, ROWS + 3]) for _ in iter(int, 1)
    )
    dead: set[int] = set()
    core: list[int] = []

    async def testbench(ctx) -> None:
        sent = 0  # rows of a map that the core has and that is not complete
        arrived = False  # a map's last row, in the cycle before
        for _ in range(400):
            reset = rng.random() < 0.04 and bool(ctx.get(part.room))
            clear = reset and rng.random() < 0.4
            waiting = rng.random() < 0.5
            assert ctx.get(part.discarding) == any(number >= source.packet for number in dead)
            source.offer(ctx, part, rng.random() < 0.7)
            ctx.set(part.o.ready, rng.random() < 0.7)
            ctx.set(part.waiting, waiting)
            ctx.set(part.reset, reset)
            ctx.set(part.clear, clear)
            ctx.set(part.live, not reset and rng.random() < 0.9)
            word, packet, row = source.word, source.packet, source.row
            last = ctx.get(part.i_last)
            forwarded = ctx.get(part.o.valid) and ctx.get(part.o.ready)
            if packet in dead:
                assert not ctx.get(part.o.valid)
                assert ctx.get(part.i.ready)
            if forwarded:
                assert ctx.get(part.o.payload) == word
                assert waiting or last or row < ROWS - 1
                core.append(word)
                sent = 0 if last else row + 1
                if sent == ROWS:
                    dead.add(packet)
                    sent = 0
            taken = source.taken(ctx, part)
            assert taken == (packet in dead or forwarded) or not ctx.get(part.i.valid)
            if reset and (sent or (waiting and not arrived)):
                number = source.packet
                while number in dead:
                    number += 1
                dead.add(number)
            arrived = bool(forwarded) and not sent
            if reset:
                sent = 0
            await ctx.tick()
            if clear:
                dead.clear()
                if source.row:
                    source.next_packet()

    simulate(part, testbench)
    assert core


def test_a_map_as_long_as_the_memory_follows_one_that_was_cut() -> None:
    part = MapPackets(BITS, ROWS)
    passed = []

    async def send(ctx, rows: int, last: bool = True) -> None:
        for row in range(rows):
            ctx.set(part.i.valid, 1)
            ctx.set(part.i_last, last and row == rows - 1)
            passed.append(ctx.get(part.o.valid))
            assert ctx.get(part.i.ready)
            await ctx.tick()
        ctx.set(part.i.valid, 0)

    async def pulse(ctx, *names: str) -> None:
        ctx.set(part.live, 0)
        for name in names:
            ctx.set(getattr(part, name), 1)
        await ctx.tick()
        for name in names:
            ctx.set(getattr(part, name), 0)
        ctx.set(part.live, 1)

    async def testbench(ctx) -> None:
        ctx.set(part.live, 1)
        ctx.set(part.o.ready, 1)
        await send(ctx, 3, last=False)
        await pulse(ctx, "reset")
        await send(ctx, 1)  # what is left of it
        await send(ctx, ROWS)
        await send(ctx, 2, last=False)
        await pulse(ctx, "reset")  # a map is owed
        await pulse(ctx, "reset", "clear")  # and forgotten
        await send(ctx, ROWS)
        assert ctx.get(part.room)

    simulate(part, testbench)
    assert passed == [*[1] * 3, 0, *[1] * ROWS, *[1] * 2, *[1] * ROWS]


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_a_layer_gets_the_packet_of_its_number(seed: int) -> None:
    """As many words as it asks for, ones behind TLAST; what it leaves, no other layer sees."""
    rng = random.Random(seed)
    part = LayerPackets(BITS)
    lengths = [rng.randint(1, 6) for _ in range(60)]
    source = Source(iter([*lengths, *[1] * 60]))

    async def testbench(ctx) -> None:
        layer = 0  # the packet that the next layer gets

        async def cycle(live: bool, ready: bool, ends: bool = False, clear: bool = False) -> bool:
            source.offer(ctx, part, rng.random() < 0.6)
            ctx.set(part.live, live)
            ctx.set(part.o.ready, ready)
            ctx.set(part.ends, ends)
            ctx.set(part.clear, clear)
            moved = bool(ctx.get(part.o.valid) and ctx.get(part.o.ready))
            if moved:
                got.append(ctx.get(part.o.payload))
            shorts.append(ctx.get(part.short))
            source.taken(ctx, part)
            await ctx.tick()
            if clear:
                source.next_packet()
            return moved

        for _ in range(30):
            got: list[int] = []
            shorts: list[int] = []
            while not ctx.get(part.room):
                await cycle(False, False)
            for _ in range(rng.randint(0, 4)):
                await cycle(False, True)
            assert not got  # before its start no layer gets anything
            ctx.set(part.start, 1)
            await cycle(False, False)
            ctx.set(part.start, 0)
            wanted = rng.randint(0, 7)
            while len(got) < wanted:
                await cycle(True, rng.random() < 0.7)
            length = lengths[layer]
            words = [layer * 16 + row for row in range(length)] + [ONES] * 8
            assert got == words[:wanted]
            assert sum(shorts) == max(0, wanted - length)
            assert ctx.get(part.open) == (wanted < length)
            clear = rng.random() < 0.2
            discarding = ctx.get(part.discarding)
            await cycle(False, False, ends=True, clear=clear)
            assert not ctx.get(part.open)
            assert bool(ctx.get(part.discarding)) == (
                not clear and (bool(discarding) or wanted < length)
            )
            layer = source.packet if clear else layer + 1
            ctx.set(part.ends, 0)
            ctx.set(part.clear, 0)

    simulate(part, testbench)


@pytest.mark.parametrize(
    "make", [lambda: LayerPackets(BITS), lambda: MapPackets(BITS, ROWS)], ids=["layer", "map"]
)
def test_there_is_room_until_as_many_packets_are_owed_as_can_be_counted(make) -> None:
    part = make()
    rooms = []

    async def testbench(ctx) -> None:
        for _ in range(OWED_MAX):
            rooms.append(ctx.get(part.room))
            if isinstance(part, LayerPackets):
                ctx.set(part.start, 1)
                await ctx.tick()
                ctx.set(part.start, 0)
                ctx.set(part.ends, 1)
            else:
                ctx.set(part.waiting, 1)
                ctx.set(part.reset, 1)
            await ctx.tick()
            for name in ("ends", "reset"):
                if hasattr(part, name):
                    ctx.set(getattr(part, name), 0)
        assert not ctx.get(part.room)
        ctx.set(part.i.valid, 1)
        ctx.set(part.i_last, 1)
        for left in range(OWED_MAX, 0, -1):
            assert ctx.get(part.discarding), left
            await ctx.tick()
            assert ctx.get(part.room)
        assert not ctx.get(part.discarding)

    simulate(part, testbench)
    assert rooms == [1] * OWED_MAX
