"""The steps of a session as they come: what is kept of each, and what the model is told of them."""

from __future__ import annotations

from qwen3vl.browser.session import Element, Notice, Observation
from qwen3vl.server.agent.acting import in_words
from qwen3vl.server.agent.record import Outcome, Proposal, Taken, without_secret
from qwen3vl.tasks.results import Step

_SAID = {"done": "", "skipped": "refused by the user: ", "failed": "failed: ", "changed": "not done: "}


class Journal:
    def __init__(self) -> None:
        self.steps: list[Taken] = []

    def add(
        self,
        view: Observation,
        step: Step,
        outcome: Outcome,
        *,
        proposal: Proposal | None,
        notices: tuple[Notice, ...],
        own: bool = False,
        element: Element | None = None,
        note: str = "",
        seconds: float = 0.0,
    ) -> None:
        """A step seen at `view`. `own`: a person's, not the proposed one. `element`: what it touched."""
        element = element or (proposal.element if proposal is not None else None)
        told, answer = without_secret(step, proposal.text if proposal is not None else "", element)
        as_proposed = None if own else proposal
        taken = Taken(
            number=len(self.steps) + 1,
            view=view,
            step=told,
            by="person" if own else "model",
            outcome=outcome,
            answer=answer,
            cautions=() if as_proposed is None else as_proposed.cautions,
            note=note,
            notices=notices,
            overlay=None if as_proposed is None else as_proposed.overlay,
            seconds=seconds,
        )
        self.steps.append(taken)

    def for_model(self) -> list[str]:
        """A line for each step."""
        return [
            f"{_SAID[taken.outcome]}{in_words(taken.step)}{f' ({taken.note})' if taken.note else ''}"
            for taken in self.steps
        ]

    def repeats(self, view: Observation, step: Step) -> bool:
        """Whether the last step was the same and has changed nothing that can be seen."""
        if not self.steps or self.steps[-1].outcome != "done":
            return False
        last = self.steps[-1]
        return last.view.png == view.png and in_words(last.step) == in_words(step)
