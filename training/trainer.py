"""One network and its optimisers, step by step. Knows nothing of time, files or where batches come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from training.batches import Batch
from training.capture import Capture
from training.network import Network
from training.optim import Optimizer, Rates
from training.parts import Parts
from training.team import Team
from training.vocabulary import TURN_START

_BALANCE_WEIGHT = 0.02


@dataclass(frozen=True)
class Losses:
    """How much the auxiliary losses count and how experts are drawn."""

    hint: float = 0.4
    expert_shares: tuple[float, ...] = (0.0, 0.02, 0.04, 0.94)  # how often a conversation uses 1, 2, ... experts

    def hint_weight(self, progress: float) -> float:
        """The head teaches to see; later on, the answers do that better."""
        return self.hint * max(0.1, min(1.0, 1.6 - 2 * progress))


class Tally:
    """Sums over the steps since it was last read, kept on the device so that no step waits for them."""

    def __init__(self, tasks: int, device: torch.device) -> None:
        self.tasks = torch.zeros(3, tasks + 1, device=device)  # by task: losses, right tokens, tokens
        self.others = torch.zeros(3, device=device)  # hint loss, routers' loss, conversations
        self.steps = 0

    def read(self) -> tuple[torch.Tensor, torch.Tensor, int]:
        """What `tasks` and `others` hold and the number of steps; starts again from zero."""
        found = self.tasks.to("cpu", copy=True), self.others.to("cpu", copy=True), self.steps
        self.tasks.zero_()
        self.others.zero_()
        self.steps = 0
        return found


class Trainer:
    """Holds what changes from step to step: the network's weights, the optimisers, and the number of steps done."""

    def __init__(
        self,
        network: Network,
        rates: Rates,
        losses: Losses,
        parts: Parts,
        team: Team,
        *,
        dtype: torch.dtype,
        seed: int,
        tasks: int,
    ) -> None:
        self.network, self.losses, self.parts, self.team = network, losses, parts, team
        self.dtype, self.seed = dtype, seed
        self.optimizer = Optimizer(dict(network.named_parameters()), rates)
        self.device = next(network.parameters()).device
        self._parameters = list(network.parameters())
        self._differentiate: Callable[..., Sequence[torch.Tensor]] = self._compute
        if self.device.type == "cuda":
            self._differentiate = Capture(self._compute, self._parameters)
        self.tally = Tally(tasks, self.device)
        self._expert_shares = torch.tensor(losses.expert_shares, device=self.device)
        self.step_number = 0

    def step(self, batch: Batch, progress: float) -> float:
        """Learns from one batch, and from those of the team's other members. `progress` is the share of the training
        that is done. Returns the share of the highest learning rates that it used."""
        hint_weight = torch.full((), self.losses.hint_weight(progress), device=self.device)
        scores, right, hint_loss, balance = self._differentiate(batch, hint_weight, *self._draw_experts(batch))
        self.team.average([parameter.grad for parameter in self._parameters if parameter.grad is not None])
        share = self.optimizer.step(self.step_number, progress)
        self.step_number += 1
        self._count(batch, scores, right, hint_loss, balance)
        return share

    def _compute(
        self, batch: Batch, hint_weight: torch.Tensor, experts: torch.Tensor | None = None
    ) -> Sequence[torch.Tensor]:
        """Sets the gradients. experts: how many each token uses, of a MoE model. Returns the losses of all targets,
        which are right, the hints' loss and that of routing."""
        network, parts = self.network, self.parts
        hidden, patches, balance = network(batch, parts, self.dtype, experts)
        language, head = network.model.language_model, network.hint_head
        scores, right = parts.answer_scores(
            hidden, language.norm.weight, language.embed_tokens.weight, batch.target_ids, self.dtype
        )
        wanted = batch.target_tasks > 0
        answer_loss = (scores * wanted).sum() / wanted.sum()
        hint_loss = parts.hint_loss(
            patches,
            head.norm.weight,
            head.norm.bias,
            head.linear.weight,
            head.linear.bias,
            batch.hint_targets,
            self.dtype,
        )
        loss = answer_loss + hint_weight * hint_loss + _BALANCE_WEIGHT * balance
        loss.backward()
        return [scores.detach(), right, hint_loss.detach(), balance.detach()]

    def _draw_experts(self, batch: Batch) -> list[torch.Tensor]:
        """For a MoE model, the number of experts of each token [T]: one number a conversation, the same for the same
        step."""
        if self.network.config.text.moe is None:
            return []
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + self.step_number)
        lengths = batch.token_offsets.diff()
        drawn = torch.multinomial(self._expert_shares, len(lengths), replacement=True, generator=generator) + 1
        return [torch.repeat_interleave(drawn, lengths, output_size=len(batch.token_ids))]

    def _count(
        self, batch: Batch, scores: torch.Tensor, right: torch.Tensor, hint_loss: torch.Tensor, balance: torch.Tensor
    ) -> None:
        values = torch.stack([scores, right.float(), torch.ones_like(scores)])
        self.tally.tasks.index_add_(1, batch.target_tasks, values)
        firsts = batch.token_ids[batch.token_offsets[:-1].clamp(max=len(batch.token_ids) - 1)]
        conversations = ((firsts == TURN_START) & (batch.token_offsets.diff() > 0)).sum()
        self.tally.others += torch.stack([hint_loss, balance, conversations.float()])
        self.tally.steps += 1
