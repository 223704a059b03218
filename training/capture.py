"""The gradients of a step recorded once as a CUDA graph and replayed on new inputs.

A step of a small network is some thousand short kernels, and starting them one by one from Python takes longer than
they run. All steps have the same shapes, so one recording serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from training.batches import Batch

Tensors = Sequence[torch.Tensor]

WARM_UP = 3  # runs before the recording, in which everything is compiled and libraries allocate


class Capture:
    """A function of a batch, and of further tensors, that leaves gradients; recorded on its first call.

    The results and the gradients are the same memory each time: a replay overwrites them.
    """

    def __init__(self, compute: Callable[..., Tensors], parameters: Sequence[nn.Parameter]) -> None:
        """`compute` reads its arguments and the parameters, and sets the gradients of all of them."""
        self._compute, self._parameters = compute, parameters
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[torch.Tensor] = []  # what the recording reads
        self._gradients: list[torch.Tensor | None] = []
        self._results: Tensors = ()

    def __call__(self, batch: Batch, *others: torch.Tensor) -> Tensors:
        """The results for arguments whose shapes and types are those of the first call; parameters have their gradients
        afterwards."""
        if self._graph is None:
            self._graph = self._record(batch, *others)
        else:
            torch._foreach_copy_(self._inputs, [*others, *batch.tensors])
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._results

    def _record(self, batch: Batch, *others: torch.Tensor) -> torch.cuda.CUDAGraph:
        self._inputs = [tensor.clone() for tensor in (*others, *batch.tensors)]
        arguments = (batch.replaced(self._inputs[len(others) :]), *self._inputs[: len(others)])
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._compute(*arguments)
                self._forget()
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Another thread brings data to the GPU meanwhile, which is no concern of this recording.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._results = self._compute(*arguments)
        self._gradients = [parameter.grad for parameter in self._parameters]
        return graph

    def _forget(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
