"""The losses over ranks are those of the whole batch: value and every gradient, against one process."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from engine.errors import UserError
from train.model import loss as module
from train.model.loss import LossConfig, Pairs, caption_hash, contrastive_loss

PAIRS, WIDTH, DIM = 12, 7, 4
CAPTIONS = [0, 1, 2, 0, 3, 4, 0, 5, 6, 1, 7, 8]  # the same caption on a rank and on several
CASES = {
    "infonce": LossConfig(),
    "smoothed": LossConfig(label_smoothing=0.1),
    "masked": LossConfig(mask_identical=True),
    "smoothed, masked": LossConfig(label_smoothing=0.2, mask_identical=True),
    "siglip": LossConfig("siglip"),
    "siglip, masked": LossConfig("siglip", mask_identical=True),
}
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


class Towers(torch.nn.Module):
    """Two linear towers, a scale and a bias, like CLIP in what matters here."""

    def __init__(self, dtype: torch.dtype, bias: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.image = torch.nn.Linear(WIDTH, DIM, dtype=dtype)
        self.text = torch.nn.Linear(WIDTH, DIM, dtype=dtype)
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.0, dtype=dtype))
        self.logit_bias = torch.nn.Parameter(torch.tensor(-1.5, dtype=dtype)) if bias else None

    def forward(self, x: torch.Tensor, y: torch.Tensor, tokens: torch.Tensor) -> Pairs:
        image, text = (F.normalize(z, dim=-1) for z in (self.image(x), self.text(y)))
        return Pairs(image, text, self.logit_scale.exp(), self.logit_bias, tokens)


def _batch(dtype: torch.dtype, part: slice = slice(None)) -> tuple[torch.Tensor, ...]:
    draws = torch.Generator().manual_seed(5)
    x, y = torch.randn(2, PAIRS, WIDTH, generator=draws, dtype=torch.float64).to(dtype)
    tokens = torch.randint(1, 49_408, (max(CAPTIONS) + 1, 5), generator=draws)[CAPTIONS]
    return x[part], y[part], tokens[part]


def _rows_one_by_one(pairs: Pairs, config: LossConfig) -> torch.Tensor:
    """Each row alone, over a list of the columns that count."""
    assert pairs.tokens is not None
    total = torch.zeros((), dtype=pairs.image.dtype)
    logits = pairs.scale * pairs.image @ pairs.text.T
    for i in range(PAIRS):
        kept = [j for j in range(PAIRS) if i == j or not config.mask_identical or CAPTIONS[i] != CAPTIONS[j]]
        if config.name == "siglip":
            for j in kept:
                total = total - F.logsigmoid((1 if i == j else -1) * (logits[i, j] + pairs.bias))
        else:
            own = torch.tensor([kept.index(i)])
            for row in (logits[i, kept], logits[kept, i]):
                total = total + F.cross_entropy(row[None], own, label_smoothing=config.label_smoothing) / 2
    return total / PAIRS


def _gradients(model: torch.nn.Module) -> dict[str, torch.Tensor | None]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def _rank(rank: int, ranks: int, folder: str) -> None:
    torch.set_num_threads(1)
    module.MAX_LOGITS = 2 * PAIRS  # two rows at a time, and one at the end of three
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    own = slice(rank * PAIRS // ranks, (rank + 1) * PAIRS // ranks)
    results: dict[Any, Any] = {}
    for (name, config), dtype in itertools.product(CASES.items(), TOLERANCES):
        model = DistributedDataParallel(Towers(dtype, config.name == "siglip"))
        loss = contrastive_loss(model(*_batch(dtype, own)), config)
        loss.backward()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        results[name, dtype] = {"loss": mean / ranks, **_gradients(model.module)}
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[1, 2, 4])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    mp.start_processes(_rank, (request.param, str(folder)), nprocs=request.param, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", CASES)
def test_ranks_equal_the_whole_batch(name: str, dtype: torch.dtype, found: list[dict[Any, Any]]) -> None:
    model = Towers(dtype, CASES[name].name == "siglip")
    loss = _rows_one_by_one(model(*_batch(dtype)), CASES[name])
    loss.backward()
    expected = {"loss": loss.detach(), **_gradients(model)}
    tolerance = TOLERANCES[dtype]
    for rank, results in enumerate(found):
        assert results[name, dtype].keys() == expected.keys()
        for key, value in results[name, dtype].items():
            torch.testing.assert_close(
                value, expected[key], rtol=tolerance, atol=tolerance, msg=f"{rank} {key}"
            )


def _pairs(count: int, width: int = 16) -> Pairs:
    draws = torch.Generator().manual_seed(1)
    image, text = F.normalize(torch.randn(2, count, width, generator=draws), dim=-1)
    return Pairs(image, text, torch.tensor(14.0), torch.tensor(-2.0))


def test_values_are_open_clips() -> None:
    pairs = _pairs(50)
    infonce = ClipLoss()(pairs.image, pairs.text, pairs.scale)
    torch.testing.assert_close(contrastive_loss(pairs, LossConfig()), infonce)
    siglip = SigLipLoss()(pairs.image, pairs.text, pairs.scale, pairs.bias)
    torch.testing.assert_close(contrastive_loss(pairs, LossConfig("siglip")), siglip)


class Largest(TorchDispatchMode):
    """Remembers the elements of the largest tensor made."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_the_whole_matrix_is_never_held(config: LossConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LOGITS", 8 * 300)
    pairs = _pairs(300, width=4)
    image = pairs.image.clone().requires_grad_()
    tokens = torch.arange(600).view(300, 2)
    with Largest() as largest:
        contrastive_loss(Pairs(image, pairs.text, pairs.scale, pairs.bias, tokens), config).backward()
    assert image.grad is not None
    assert largest.elements == 8 * 300


def test_logits_stay_float32_under_autocast() -> None:
    pairs = _pairs(64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = contrastive_loss(pairs, LossConfig())
    assert inside.dtype == torch.float32
    assert inside == contrastive_loss(pairs, LossConfig())


def test_certain_siglip_pairs_cost_nothing() -> None:
    """At logits of 100 too: no difference of large numbers, no overflow."""
    image = torch.eye(4, requires_grad=True)
    pairs = Pairs(image, torch.eye(4), torch.tensor(300.0), torch.tensor(-150.0))
    loss = contrastive_loss(pairs, LossConfig("siglip"))
    loss.backward()
    assert 0 <= float(loss) < 1e-30
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()


def test_captions_are_told_apart_by_their_tokens() -> None:
    draws = torch.Generator().manual_seed(2)
    captions = torch.randint(0, 1 << 16, (3000, 9), generator=draws)
    captions[1] = captions[0].flip(0)
    captions[2] = captions[0]
    captions[2, 4] ^= 1 << 15
    captions[3] = captions[0]
    names = caption_hash(captions)
    assert len(set(names.tolist())) == 2999
    assert names[3] == names[0]
    assert torch.equal(caption_hash(captions[5:6]), names[5:6])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": 1.0}, r"loss.label_smoothing: 1.0 given; expected a number from 0 to below 1"),
        ({"name": "siglip", "label_smoothing": 0.1}, "siglip has no distribution over columns to smooth"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LossConfig(**settings)
