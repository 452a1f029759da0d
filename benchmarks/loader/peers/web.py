"""WebDataset with the pipeline that open_clip trains with, on tars."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.loader.peers import pillow
from benchmarks.loader.peers.torch_loader import batch_sizes, worker_options
from benchmarks.loader.work import Work

IMPORTS = {"loader": ("webdataset", "open_clip.transform")}
crop = pillow.crop
SHUFFLED = 1000


def loader(work: Work) -> Iterator[int]:
    """Resampled shards, shuffled samples, decoded and batched in the workers."""
    import webdataset as wds

    tars = [str(path) for path in sorted(work.folders.tar.glob("*.tar"))]
    dataset = wds.DataPipeline(
        wds.ResampledShards(tars),
        wds.tarfile_to_samples(),
        wds.shuffle(bufsize=SHUFFLED, initial=SHUFFLED // 10),
        wds.decode("pilrgb"),
        wds.rename(image="jpg"),
        wds.map_dict(image=pillow.transform()),
        wds.to_tuple("image"),
        wds.batched(work.batch, partial=False),
    )
    return batch_sizes(wds.WebLoader(dataset, batch_size=None, shuffle=False, **worker_options(work)))
