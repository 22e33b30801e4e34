"""The promise of every stream: what is offered stays, unchanged, until it is taken."""

from amaranth.hdl import ValueLike
from amaranth.lib import stream
from amaranth.sim import Simulator


class Steady:
    """Watches one stream, `cycle` by cycle; raises AssertionError at a broken promise."""

    def __init__(self, name: str):
        self._name = name
        self._offered: object = None

    def cycle(self, valid: int, ready: int, payload: object) -> None:
        now = (payload,) if valid else None
        assert self._offered in (None, now), f"{self._name} takes back what it offers"
        self._offered = None if ready else now

    def forget(self) -> None:
        """A reset: nothing is on offer."""
        self._offered = None


def watch(
    simulator: Simulator, excused: ValueLike = 0, **streams: tuple[stream.Interface, ValueLike]
) -> None:
    """Let `simulator` fail when a stream breaks its promise; while `excused` it may.

    streams : by name, each with what else belongs to its payload
    """
    for name, (watched, more) in streams.items():
        simulator.add_testbench(_watcher(Steady(name), excused, watched, more), background=True)


def _watcher(steady: Steady, excused: ValueLike, watched: stream.Interface, more: ValueLike):  # type: ignore[no-untyped-def]
    async def watcher(ctx) -> None:  # type: ignore[no-untyped-def]
        sampled = ctx.tick().sample(excused, watched.valid, watched.ready, watched.payload, more)
        async for _, _, free, valid, ready, *carried in sampled:
            if free:
                steady.forget()
            else:
                steady.cycle(valid, ready, carried)

    return watcher
