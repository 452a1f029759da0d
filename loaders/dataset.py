"""StreamingDataset whose samples are read a whole batch at a time from memory-mapped shards."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from time import time_ns
from typing import Any, cast

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from streaming import StreamingDataset
from streaming.base.dataset import _ShardState
from streaming.base.format.mds.reader import MDSReader

from engine.collector import collector_paused
from engine.errors import UserError
from engine.native import MdsShard, NativeError, SampleBatch, gather
from loaders.barrier import patient_barrier
from loaders.counters import Counters
from loaders.fetch import DEFAULT_DEADLINE_S
from loaders.free_number import number_taken_here
from loaders.mix import Mix
from loaders.order import NAME as ORDER_NAME
from loaders.order import Order, default_canonical_nodes
from loaders.readers import small_spanner
from loaders.shards import DamagedShardError, ShardMaps, advice, mds_readers, open_verified, shard_path
from loaders.share import Steps, WorkerShare
from loaders.stream import BoundedStream
from loaders.streams import MixOptions, Place, Shared, merged, open_places, share_out
from loaders.walk import Row, Walk

# A damaged or vanished shard is fetched again this often before the run stops.
MOST_REFETCHES = 3


@dataclass(frozen=True)
class OrderOptions:
    """Where the data set is and in which order it is walked (loaders/order.py).

    `places` is one data set, or the streams of a `mix`. `batch_size` is per rank. `num_canonical_nodes` is
    the number of lanes of the order; None takes it from the size of the data set (without `shuffle`: one).
    """

    places: Sequence[Place]
    batch_size: int
    mix: MixOptions | None = None
    shuffle: bool = True
    shuffle_seed: int = 0
    num_canonical_nodes: int | None = None
    cache_limit: int | str | None = None
    drop_last: bool = False
    deadline: float = DEFAULT_DEADLINE_S

    def lanes(self, samples: int) -> int:
        """Return the number of lanes for a data set of this size."""
        return self.num_canonical_nodes or (default_canonical_nodes(samples) if self.shuffle else 1)


class CaptionDataset(StreamingDataset):
    """Data sets of `engine.shard`, one or a mix of several, local or in any store that Streaming knows.

    Iterating yields rows `(step, epoch, sample)`, not samples: `read` then takes a whole batch of sample
    numbers and returns views into the mapped shards, so that nothing is done per sample in Python.
    `get_item(i)` is Streaming's own and returns one decoded sample as a dict. Samples of a mix are numbered
    stream by stream.

    Attributes:
        infos: what each stream's dataset.json says.
        info: of all of them; its `sources` are the union.
        stream_names: as the recipe has them; a data set alone has the name "".
        stream_ends: int64 [streams]: one more than the number of the last sample of each.
        global_batch: samples of a step over all ranks.
        steps_per_epoch: of the run.
        length: samples of this rank in an epoch of the run.
    """

    def __init__(self, order: OrderOptions) -> None:
        """Read index.json and dataset.json, fetching them first if only the remote has them.

        Raises:
            UserError: when this is not a finished data set of `engine.shard`.
        """
        self.counters = Counters()
        places = order.places
        self.fetchers, self.infos = open_places(places, order.deadline, self.counters)
        self.info = merged(places, self.infos)
        self.stream_names = tuple(place.name for place in places)
        where = ", ".join(place.local for place in places)
        self.handed_out = False
        self._failure: BaseException | None = None
        bounded = order.cache_limit is not None
        try:
            with small_spanner(), number_taken_here(), patient_barrier(), collector_paused():
                super().__init__(
                    streams=[BoundedStream(fetcher, bounded) for fetcher in self.fetchers],
                    batch_size=order.batch_size,
                    shuffle=order.shuffle,
                    shuffle_seed=order.shuffle_seed,
                    num_canonical_nodes=order.num_canonical_nodes,
                    cache_limit=order.cache_limit,
                )
        except (RuntimeError, ValueError, OSError) as error:
            raise UserError(f"{where}: Streaming cannot open the data set: {error}") from error
        self.readers = [
            reader
            for number, place in enumerate(places)
            for reader in mds_readers(
                place.local, self.shards[self._shards_of(number)], self.infos[number].has_scores
            )
        ]
        self._maps = ShardMaps(self.readers, self.counters)
        self.shard_ends = np.cumsum(self.samples_per_shard)
        self.stream_ends = np.cumsum(self.samples_per_stream)
        self._batching = order.batch_size, order.drop_last
        ranks = self._parallel_rank_world.num_ranks
        self.global_batch = ranks * order.batch_size
        self._lanes = [order.lanes(samples) for samples in self.samples_per_stream.tolist()]
        self._mix: Shared | None = None
        positions = self.num_samples
        if order.mix is not None:
            sizes = self.samples_per_stream.tolist()
            self._mix = share_out(order.mix, places, sizes, self.global_batch)
            positions = self._mix.run.steps_per_epoch * self.global_batch
        # Of a mix it is of no matter, but Streaming would fill it in with the number of nodes.
        self.num_canonical_nodes = self._lanes[0]
        self.length = self._steps(0, 0).per_rank(positions, ranks)
        self.steps_per_epoch = -(-self.length // order.batch_size)
        self.orders()  # lanes that cannot be are refused here, not by a worker

    def __getitem__(self, at: Any) -> Row:
        """Return what a batch needs to know of a sample before it is read: the row that was walked to."""
        row: Row = at
        return row

    def __iter__(self) -> Iterator[Any]:
        """Walk this worker's rows of the epoch.

        Raises:
            UserError: when a shard could not be had; Streaming itself would end the epoch early, without a
                word.
        """
        self._stop_fetching(False)
        yield from super().__iter__()
        if self._event.is_set():
            raise UserError(f"a shard could not be fetched: {self._failure}") from self._failure

    def read(self, samples: NDArray[np.int64]) -> SampleBatch:
        """Return views of samples [N] of one stream (their numbers), fetching their shards if need be.

        Raises:
            UserError: when a shard cannot be had undamaged.
        """
        shard = np.searchsorted(self.shard_ends, samples, side="right")
        unique, which = np.unique(shard, return_inverse=True)
        with self.counters.timed("fetch_us"):
            maps = [self._map(int(s)) for s in unique]
        if self.cache_limit:
            self._shard_access_times.numpy()[unique] = time_ns()
            self._maps.keep_only(
                set(np.flatnonzero(self._shard_states.numpy() == _ShardState.LOCAL).tolist())
            )
        index = samples - self.sample_offset_per_shard[shard]
        with self.counters.timed("gather_us"):
            return _gather(maps, which.astype(np.int32), index.astype(np.int32))

    def stop(self) -> None:
        """Make an iteration that runs in another thread end soon."""
        self._stop_fetching(True)
        if hasattr(self, "_iterator"):
            self._iterator.non_blocking_exit()

    def prepare_shard(self, shard_id: int, blocking: bool = True) -> None:
        """Make a shard be there, unless it is or, without `blocking`, another process is at it.

        Streaming's own version takes a file lock each time (about 0.1 ms), and waits for ever for a shard
        whose preparation failed or was killed.

        Raises:
            UserError: when it cannot be had by the deadline.
        """
        if self._shard_states[shard_id] == _ShardState.LOCAL:
            reader = self.readers[shard_id]
            if reader.compression is None or os.path.exists(shard_path(reader)):
                self._shard_access_times[shard_id] = time_ns()
                return
        self._obtain(shard_id, blocking)

    def get_item(self, sample_id: int, retry: int = 7) -> Any:
        """Return one decoded sample as a dict, from a shard that was verified.

        Raises:
            UserError: when the shard cannot be had undamaged.
        """
        self._map(self.spanner[sample_id][0])
        return super().get_item(sample_id, retry)

    def _obtain(self, shard: int, blocking: bool = True, suspect: bool = False) -> None:
        """Make a shard be there, as the only process that does; a suspect one is looked at again first."""
        reader, stream = self.readers[shard], self._stream(shard)
        fetcher, until = stream.fetcher, stream.fetcher.until()
        with fetcher.claim(reader.raw_data.basename, until if blocking else 0) as mine:
            if not mine and blocking:
                raise UserError(
                    f"{shard_path(reader)}: another process was still fetching it after "
                    f"{fetcher.deadline_s:g} s (data.deadline)"
                )
            if not mine:
                return
            if suspect and not _is_sound(reader):
                self.evict_shard(shard)
            known = self._shard_states[shard] == _ShardState.LOCAL
            there = os.path.exists(shard_path(reader))
            if not there and not known:
                self._make_room(reader)
            grown = stream.make_shard(reader, until)
            with self._cache_lock():
                self.cache_usage += reader.raw_data.bytes if there and not known else grown
                self._shard_access_times[shard] = time_ns()
                self._shard_states[shard] = _ShardState.LOCAL

    def _stream(self, shard: int) -> BoundedStream:
        return cast(BoundedStream, self.streams[self.stream_per_shard[shard]])

    def _shards_of(self, stream: int) -> slice:
        begin = int(self.shard_offset_per_stream[stream])
        return slice(begin, begin + int(self.shards_per_stream[stream]))

    def _stop_fetching(self, stopped: bool) -> None:
        for fetcher in self.fetchers:
            fetcher.stopped = stopped

    def _make_room(self, reader: MDSReader) -> None:
        """Give up the shards that nobody has used for longest, until there is room for another."""
        if not self.cache_limit:
            return
        with self._cache_lock():
            while int(self.cache_limit) < self.cache_usage + reader.get_max_size():
                self._evict_coldest_shard()

    @contextmanager
    def _cache_lock(self) -> Iterator[None]:
        """Hold Streaming's lock on the cache's bookkeeping; the kernel frees it when its holder is killed."""
        deadline_s = self.fetchers[0].deadline_s
        try:
            with FileLock(self._cache_filelock_path, timeout=deadline_s):
                yield
        except Timeout as error:
            raise UserError(
                f"{error.lock_file}: held by another process for {deadline_s:g} s "
                "(data.deadline); end that process"
            ) from error

    def on_exception(self, future: Future[None]) -> None:
        """Keep a background thread's exception, for `__iter__` to raise."""
        self._failure = future.exception() or self._failure
        if self._failure is not None:
            self._event.set()

    def state_dict(self, num_samples: int, from_beginning: bool) -> dict[str, Any]:
        """Return Streaming's state, right at the end of an epoch too.

        Composer asks for it with 0 samples after an epoch's end, when Streaming still believes in the old
        epoch: its own answer would repeat that epoch.
        """
        state: dict[str, Any] = super().state_dict(num_samples, from_beginning)
        if from_beginning and num_samples == 0 and self.handed_out:
            state["epoch"] += 1
        return {**state, "order": ORDER_NAME, "mix": self._fingerprint()}

    def load_state_dict(self, obj: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            UserError: when it lies within an epoch of another order or mix, which cannot be continued.
        """
        if obj["sample_in_epoch"] and obj.get("order") != ORDER_NAME:
            raise UserError(
                f"checkpoint: saved after {obj['sample_in_epoch']:,} samples of an epoch in the order "
                f"{obj.get('order', 'of Streaming')!r}; this version walks in the order {ORDER_NAME!r}; go "
                "on from a checkpoint between epochs, or load its weights alone (load_weights_only)"
            )
        if obj["sample_in_epoch"] and obj.get("mix") != self._fingerprint():
            raise UserError(
                f"checkpoint: saved after {obj['sample_in_epoch']:,} samples of an epoch of another mix (its "
                "order follows from its streams and their sizes, weights, ramp in steps, epoch_size and "
                "global_train_batch_size); go on with the settings that it was saved with or from a "
                "checkpoint between epochs, or load its weights alone (load_weights_only)"
            )
        super().load_state_dict(obj)

    def _fingerprint(self) -> str | None:
        lines = zip(self.stream_names, self.samples_per_stream.tolist(), self._lanes, strict=True)
        return None if self._mix is None else self._mix.fingerprint([*lines, self.shuffle])

    def _resume_incr_epoch(self) -> tuple[int, int]:
        """Settle the epoch; Streaming calls this in every worker, after a resume too."""
        epoch, sample_in_epoch = super()._resume_incr_epoch()
        # The node's leader has counted the epoch only now: a worker with nothing left in it comes back at
        # once, and would begin the same epoch again.
        self._shared_barrier(self._unique_worker_world.workers_per_node)
        return epoch, sample_in_epoch

    def order(self) -> Order | Mix:
        """Return the order of every epoch of this run, as a resume may have settled it."""
        return self.orders()[0] if self._mix is None else self._mix.order(self.orders())

    def orders(self) -> list[Order]:
        """Return the order of each stream's own samples."""
        lanes = self._lanes if self._mix else [self.num_canonical_nodes or 1]
        return [
            # Streams of one size walked alike would meet the same partner at every step.
            Order(
                self.samples_per_shard[self._shards_of(number)],
                self.shuffle_seed + (number << 32),
                lanes[number],
                self.shuffle,
            )
            for number in range(self.num_streams)
        ]

    def _steps(self, epoch: int, begin: int) -> Steps:
        return Steps(epoch, begin, *self._batching)

    def _get_work(self, epoch: int, sample_in_epoch: int) -> WorkerShare:  # type: ignore[override]
        """Return this worker's samples of an epoch, from where it goes on.

        Streaming makes the whole epoch's order here, in shared memory: at 300 million samples, minutes and
        tens of gigabytes.
        """
        return WorkerShare(self.order(), self._steps(epoch, sample_in_epoch), self._parallel_worker_world)

    def _prepare_thread(self, it: Any) -> None:
        self._walk(it).prepare(self.predownload or 0, self._ask_for)

    def _ready_thread(self, it: Any) -> None:
        self._walk(it).make_ready()

    def _each_sample_id(self, it: Any) -> Iterator[Row]:  # type: ignore[override]
        return self._walk(it).rows()

    def _walk(self, state: Any) -> Walk:
        return Walk(state, self._event)

    def _ask_for(self, samples: NDArray[np.int64]) -> None:
        """Have the shards of samples [N] prepared, unless another process is at them."""
        for shard in np.unique(np.searchsorted(self.shard_ends, samples, side="right")).tolist():
            self.prepare_shard(shard, blocking=False)

    def _map(self, shard: int) -> MdsShard:
        """Return a shard's map; one that is damaged or was given up meanwhile is had again, a few times."""
        remote = self._stream(shard).fetcher.remote
        for attempt in range(1 + MOST_REFETCHES):
            try:
                if shard not in self._maps:
                    self.prepare_shard(shard)
                return self._maps.get(shard)
            except FileNotFoundError as error:
                lost = remote is None and self.readers[shard].compression is None
                if lost or attempt == MOST_REFETCHES:
                    raise UserError(f"shard {shard} is missing: {error}; {advice()}") from error
                self._shard_states[shard] = _ShardState.REMOTE
            except DamagedShardError:
                if remote is None or attempt == MOST_REFETCHES:
                    raise
                self._obtain(shard, suspect=True)
        raise AssertionError("the last attempt returns or raises")


def _is_sound(reader: MDSReader) -> bool:
    try:
        open_verified(reader)
    except FileNotFoundError:
        return True  # nothing to remove
    except DamagedShardError:
        return False
    return True


def _gather(maps: list[MdsShard], which: NDArray[np.int32], index: NDArray[np.int32]) -> SampleBatch:
    """Gather; a shard that was sound when it was opened may have been changed since."""
    try:
        return gather(maps, which, index)
    except NativeError as error:
        for number, shard in enumerate(maps):
            own = index[which == number]
            try:
                gather([shard], np.zeros_like(own), own)
            except NativeError as damage:
                raise DamagedShardError(
                    f"{shard.path}: changed after it was opened: {damage}; {advice()}"
                ) from damage
        raise UserError(f"{len(maps)} shards could not be read: {error}; run again") from error
