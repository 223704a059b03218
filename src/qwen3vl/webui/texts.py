"""Every word that the page shows, in one place, so that a second language is a second value of `Texts`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """A suggestion: a short name on a chip, the question behind it, and the sample file that goes with it."""

    name: str
    question: str
    file: str


@dataclass(frozen=True)
class Texts:
    title: str
    tagline: str
    drop_title: str
    drop_hint: str
    browse: str
    picture_size: str
    question_label: str
    question_placeholder: str
    ask: str
    stop: str
    try_one: str
    mode_label: str
    mode_names: dict[str, str]
    mode_choice: str
    mode_info: str
    dense: str
    badge_moe: str
    badge_dense: str
    settings: str
    max_tokens: str
    max_tokens_info: str
    temperature: str
    temperature_info: str
    answer: str
    answer_empty: str
    target: str
    target_choice: str
    waiting: str
    writing: str
    done: str
    length: str
    stopped: str
    stat_tokens: str
    stat_speed: str
    stat_first: str
    stat_prompt: str
    stat_experts: str
    no_question: str
    internal_error: str
    samples: tuple[Sample, ...]


ENGLISH = Texts(
    title="Qwen3-VL",
    tagline="Ask a picture. It runs on this machine, and nothing leaves it.",
    drop_title="Drop a picture, a video or a PDF",
    drop_hint="anywhere on this page, or paste it",
    browse="Choose files",
    picture_size="{width} × {height}, {tokens} tokens",
    question_label="Question",
    question_placeholder="What do you want to know?",
    ask="Ask",
    stop="Stop",
    try_one="Try one",
    mode_label="Mode",
    mode_names={"fast": "Fast", "balanced": "Balanced", "full": "Full"},
    mode_choice="{name} · {active} of {total}",
    mode_info="How many experts work on each token. Fewer is faster; Full is the model as it was trained.",
    dense="This model is dense: all of it works on every token, so there are no modes to choose from.",
    badge_moe="{parameters} parameters · {experts} experts, {active} a token · {dtype} on {device}",
    badge_dense="{parameters} parameters · dense · {dtype} on {device}",
    settings="Settings",
    max_tokens="Longest answer",
    max_tokens_info="in tokens",
    temperature="Temperature",
    temperature_info="0 always gives the most likely answer",
    answer="Answer",
    answer_empty="The answer appears here, and what it locates is marked on the picture.",
    target="Marked picture",
    target_choice="Picture {number}",
    waiting="Reading",
    writing="Writing",
    done="Done",
    length="Cut at the longest answer",
    stopped="Stopped",
    stat_tokens="tokens",
    stat_speed="tokens/s",
    stat_first="first token",
    stat_prompt="prompt",
    stat_experts="experts",
    no_question="Type a question first.",
    internal_error="Something went wrong inside the program; its log says more.",
    samples=(
        Sample("Find a button", "Click the Save button.", "window.png"),
        Sample("List shapes", "List all shapes from left to right.", "shapes.png"),
        Sample("Locate a shape", "Locate the blue circle.", "shapes.png"),
        Sample("Read text", "Read the text.", "note.png"),
        Sample("To HTML", "Convert this image to HTML.", "page.png"),
    ),
)
