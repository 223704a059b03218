"""Weights that are packed while they are loaded, and smaller caches: against the same network in plain floats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwen3vl import Engine
from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.weights import load_weights
from qwen3vl.engine import formats as formats_module
from qwen3vl.engine.formats import Formats, check_formats
from qwen3vl.errors import CheckpointError, InputError, InsufficientMemoryError
from qwen3vl.kernels.attention import AttentionGroup, LayerCache
from qwen3vl.kernels.cpu.library import Level, best_level
from qwen3vl.kernels.packed import Packing
from qwen3vl.model.batch import Batch
from qwen3vl.model.network import Packings, Qwen3VL
from qwen3vl.prompt.tokenizer import Tokenizer
from support.tiny import make_checkpoint

CPU = torch.device("cpu")
TEXT = (
    "<|im_start|>user\nWhat can you do?<|im_end|>\n<|im_start|>assistant\nI can't answer that: I am a small demo model."
)
MODELS = [Path(__file__).parents[2] / "models" / name for name in ("dense", "moe")]


def network(folder: Path, quantization: str) -> tuple[Qwen3VL, Formats]:
    config = ModelConfig.from_folder(folder)
    formats = Formats.resolve(config, CPU, dtype="auto", quantization=quantization, kv_cache="auto")
    made = Qwen3VL.empty(config, CPU, formats.dtype, formats.packings, formats.tower)
    load_weights(folder, made.destinations(), config)
    return made, formats


def unpacked(packed: Qwen3VL) -> Qwen3VL:
    """The same weights as the packed ones stand for, in float32."""
    plain = Qwen3VL.empty(packed.config, CPU, torch.float32)
    for name, parameter in packed.named_parameters():
        plain.get_parameter(name).data.copy_(parameter)
    for name, matrix in packed.packed().items():
        plain.get_parameter(name).data.copy_(matrix.dequantize())
    return plain


def ids_of(model: Qwen3VL) -> torch.Tensor:
    """A text as the shipped models have learnt it: of random tokens a small network says anything."""
    folder = MODELS[0] if model.config.text.moe is None else MODELS[1]
    return torch.tensor(Tokenizer.from_folder(folder).encode(TEXT))


def logits(model: Qwen3VL, cache_type: torch.dtype, *, by_token: bool = False) -> torch.Tensor:
    """Of every position of a fixed text, [tokens, vocabulary], in one step or token by token."""
    text = model.config.text
    shape = (3, text.num_kv_heads, 16, text.head_dim)
    cache = [
        LayerCache(
            *(torch.zeros(shape, dtype=cache_type) for _ in range(2)),
            *(torch.zeros(shape[:-1]) for _ in range(2 if cache_type == torch.int8 else 0)),
        )
        for _ in range(text.num_layers)
    ]
    ids = ids_of(model)
    steps = [(i, i + 1) for i in range(len(ids))] if by_token else [(0, len(ids))]
    return torch.cat([model(batch(model, ids, first, last), cache) for first, last in steps])


def batch(model: Qwen3VL, ids: torch.Tensor, first: int, last: int) -> Batch:
    moe, places = model.config.text.moe, torch.arange(first, last)
    group = AttentionGroup(
        first_token=0,
        num_tokens=last - first,
        query_starts=torch.tensor([0, last - first]),
        context_lengths=torch.tensor([last]),
        block_tables=torch.tensor([[2, 0, 1]]),
        max_queries=last - first,
        max_context=last,
    )
    return Batch(
        token_ids=ids[first:last],
        position_ids=places.expand(3, -1),
        slots=torch.tensor([2, 0, 1])[places // 16] * 16 + places % 16,
        active_experts=torch.full_like(places, moe.num_experts_per_tok if moe else 1),
        groups=[group],
        logit_rows=torch.arange(last - first),
        visuals=None,
    )


def divergence(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Mean of KL(reference | ours) over positions, in nats."""
    expected = reference.log_softmax(-1)
    return float((expected.exp() * (expected - ours.log_softmax(-1))).sum(-1).mean())


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_packed_network_computes_what_its_weights_say(folder: Path, quantization: str) -> None:
    """What is left between them is the rounding of activations to bytes and of the cache to bfloat16; a matrix in the
    wrong place gives whole nats.
    """
    packed, _ = network(folder, quantization)
    reference = logits(unpacked(packed), torch.float32)
    assert divergence(logits(packed, torch.bfloat16), reference) < 0.06
    assert divergence(logits(packed, torch.bfloat16, by_token=True), reference) < 0.06
    assert divergence(logits(packed, torch.int8, by_token=True), reference) < 0.06


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_more_bits_are_nearer_to_the_checkpoint(folder: Path) -> None:
    reference = logits(network(folder, "none")[0], torch.float32)
    lost = [divergence(logits(network(folder, bits)[0], torch.bfloat16), reference) for bits in ("int8", "int4")]
    assert lost[0] < 0.02 < lost[1] < 1


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
def test_planned_bytes_are_those_that_are_held(folder: Path, quantization: str) -> None:
    made, formats = network(folder, quantization)
    held = sum(parameter.nbytes for parameter in made.parameters())
    held += sum(matrix.data.nbytes for matrix in made.packed().values())
    assert formats.weight_bytes(made.config) == held


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_some_matrices_may_keep_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of query, key and value, and of the last layer; the plan counts them so, and these weights get nearer."""
    rough, fine, full = Packing(4, 64), Packing(4, 32), Packing(8, 128)
    mixed = Packings(layers=rough, head=full, qkv=fine, last=full)
    monkeypatch.setattr(formats_module, "QUANTIZATIONS", {"rough": Packings(rough, full), "mixed": mixed})
    made, formats = network(folder, "mixed")
    held = sum(parameter.nbytes for parameter in made.parameters())
    assert formats.weight_bytes(made.config) == held + sum(matrix.data.nbytes for matrix in made.packed().values())
    last = made.config.text.num_layers - 1
    for name, matrix in made.packed().items():
        kept = full if name.startswith((f"decoder.layers.{last}.", "decoder.embed")) else rough
        assert matrix.packing == (fine if "qkv" in name and kept is rough else kept), name
    coarse, whole = network(folder, "rough")[0].packed(), network(folder, "none")[0]
    for name, matrix in made.packed().items():
        lost = [(each.dequantize() - whole.get_parameter(name)).norm() for each in (matrix, coarse[name])]
        assert lost[0] < lost[1] if matrix.packing != coarse[name].packing else lost[0] == lost[1], name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantization": "int8", "dtype": "bfloat16"}, "dtype must be 'auto' or 'float32', got 'bfloat16'"),
        ({"kv_cache": "int4"}, "kv_cache must be 'auto', 'float32', 'bfloat16', 'float16', 'int8', got 'int4'"),
    ],
)
def test_what_cannot_be_had_is_said(options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Engine.load("tiny-dense", device="cpu", **options)  # type: ignore[arg-type]


@pytest.mark.skipif(best_level() is Level.NONE, reason="no compiled kernels")
@pytest.mark.parametrize(
    ("kv_cache", "told"), [("auto", False), ("int8", False), ("float16", True), ("float32", False)]
)
def test_a_cache_that_the_kernels_do_not_read_is_told(
    kv_cache: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for quantization in ("int4", "none"):
        caplog.clear()
        config = ModelConfig.from_folder(MODELS[0])
        Formats.resolve(config, CPU, dtype="auto", quantization=quantization, kv_cache=kv_cache)
        assert ("each layer is called by itself" in caplog.text) == told


@pytest.mark.parametrize("model", ["tiny-dense", "tiny-moe"])
def test_a_packed_engine_answers_and_lets_go(model: str) -> None:
    with Engine.load(model, device="cpu", quantization="int4", kv_cache="int8") as engine:
        assert (engine.info.quantization, engine.info.kv_cache, engine.info.dtype) == ("int4", "int8", "float32")
        assert engine.info.kernels == (best_level().name.lower() if best_level() else "torch")
        question = [{"role": "user", "content": "What can you do?"}]
        answers = engine.generate_batch([question] * 3, [{"max_tokens": 8, "temperature": 0.0}] * 3)
        assert len({tuple(answer.token_ids) for answer in answers}) == 1
        assert len(answers[0].token_ids) == 8


def test_what_no_model_can_have_is_refused_before_a_model_is_looked_for() -> None:
    """None of these names is a folder, or one that may be asked for elsewhere."""
    for options, message in (
        ({"quantization": "int3"}, "quantization must be one of 'none', 'int8', 'int4', got 'int3'"),
        ({"kv_cache": "int4"}, "kv_cache must be"),
        ({"dtype": "int8"}, "dtype must be"),
        ({"speculation": "on"}, "speculation must be"),
    ):
        with pytest.raises(InputError, match=message):
            Engine.load("no-such-model", device="cpu", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="weights of int4 are for a CPU, not for cuda:0: choose the device 'cpu'"):
        check_formats(torch.device("cuda", 0), dtype="auto", quantization="int4", kv_cache="auto")


def test_a_model_that_does_not_fit_is_told_what_would_take_less() -> None:
    with pytest.raises(InsufficientMemoryError, match=r"GiB are free on cpu\); the weights would take .*int8.*int4"):
        Engine.load("tiny-dense", device="cpu", memory="10MiB")
    with pytest.raises(InsufficientMemoryError, match=r"would take \d\.\d\d with quantization 'int4'$"):
        Engine.load("tiny-dense", device="cpu", memory="10MiB", quantization="int8")
    with pytest.raises(InsufficientMemoryError, match=r"free on cpu\)$"):
        Engine.load("tiny-dense", device="cpu", memory="10MiB", quantization="int4")


@pytest.mark.parametrize("width", [24, 48])
@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_planned_bytes_of_experts_of_any_width(width: int, quantization: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path, moe=True, expert_width=width)
    test_planned_bytes_are_those_that_are_held(tmp_path, quantization)


def test_a_number_that_has_no_code_names_its_tensor(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    name = "model.language_model.layers.1.self_attn.k_proj.weight"
    [shard] = [path for path in tmp_path.glob("*.safetensors") if name in load_file(path)]
    tensors = load_file(shard)
    tensors[name][3, 5] = torch.nan
    save_file(tensors, shard, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"{name} cannot be packed: a number in it is not finite"):
        Engine.load(tmp_path, device="cpu", quantization="int4")
