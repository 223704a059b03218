"""The manner of a question: greetings and thanks around it, and the carelessness with which people type it.

Slots in brackets, which stand for what the question is about, stay as they are. Knows nothing about what is asked.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

from qwen3vl.drawn.sample import Language, Split

POLITE: Mapping[Language, tuple[str, ...]] = {
    "en": (
        *("Hi! *", "Hi, *", "Hello! *", "Hello, *", "Hey, *", "Hey! *", "Good morning. *", "Good evening! *"),
        *("Hi there, *", "Dear assistant, *", "Hello assistant. *", "Excuse me, *", "Sorry to bother you. *"),
        *("Question: *", "Quick question: *", "One more question: *", "A question: *", "Q: *", "Another one: *"),
        *("Now: *", "OK, *", "Okay, *", "So, *", "Alright: *", "Next: *", "And now: *", "Also: *", "Well, *"),
        *("Please help me. *", "Please help: *", "Help me: *", "I have a request. *", "Request: *", "Please: *"),
        *("* Please.", "* Thanks!", "* Thanks.", "* Thank you.", "* Thank you!", "* Thx", "* Thanks a lot!"),
        *("* Thanks in advance.", "* Many thanks.", "* Cheers.", "* It's urgent.", "* I'd appreciate it."),
        *("* Quickly please.", "* Take your time.", "Hi! * Thanks!", "Hello. * Thank you."),
    ),
    "zh": (
        *("你好，*", "你好！*", "您好！*", "您好，*", "嗨，*", "早上好，*", "晚上好！*", "哈喽，*", "在吗？*"),
        *("打扰一下，*", "不好意思，*", "请教一下：*", "问一下，*", "请问，*", "请问：*", "帮个忙：*", "帮我看看：*"),
        *("问题：*", "一个问题：*", "还有一个问题：*", "再问一个：*", "提问：*", "那么，*", "好的，*", "现在：*"),
        *("另外，*", "接着，*", "请求：*", "有个请求：*", "麻烦你了：*", "助手你好，*", "师傅，*", "亲，*"),
        *("*谢谢！", "*谢谢。", "*谢谢你。", "*多谢！", "*麻烦了。", "*辛苦了。", "*拜托了！", "*拜托。", "*感谢！"),
        *("*先谢谢了。", "*很急。", "*快一点。", "*不着急。", "你好，*谢谢！", "您好，*麻烦您了。"),
    ),
}
HELD_OUT_POLITE: Mapping[Language, tuple[str, ...]] = {
    "en": ("Hey there. *", "Next task. *", "* Thank you very much.", "Good afternoon! *", "* Thanks for your help."),
    "zh": ("下午好！*", "下一个任务：*", "*非常感谢。", "朋友，*", "*多谢帮忙。"),
}

# A word in which a slip of the finger leaves enough to read.
_WORD = re.compile(r"(?<![\w\[])[A-Za-z][a-z]{4,}(?![\w\]])")
_RAISED_SLOT = re.compile(r"\[[A-Z_]+\]")
_CLOSING = "?.!。？！"
_ASCII_SIGNS = str.maketrans("，。？！：", ",.?!:")


def polite(rng: random.Random, text: str, language: Language, split: Split) -> str:
    """The text with a few words before or after it; the held-out split also knows such words that are never trained."""
    frame = rng.choice((*POLITE[language], *(HELD_OUT_POLITE[language] if split == "held_out" else ())))
    return around(frame, text, language)


def around(frame: str, text: str, language: Language) -> str:
    """`frame` with `text`, a sentence of its own or the end of one, in the place of its first `*`."""
    before, after = frame.split("*", 1)
    if before.endswith(", ") and text[1:2].islower():
        text = text[0].lower() + text[1:]
    if after and text[-1] not in _CLOSING:
        text += "." if language == "en" else "。"
    return before + text + after


def careless(rng: random.Random, text: str, language: Language) -> str:
    """The text, most often as it is, or typed with less care."""
    luck = rng.random()
    for share, write in _HABITS[language]:
        if luck < share:
            return write(rng, text)
        luck -= share
    return text


def _open(rng: random.Random, text: str) -> str:
    return text.rstrip(_CLOSING)


def _lower(rng: random.Random, text: str) -> str:
    return text.lower()


def _lower_and_open(rng: random.Random, text: str) -> str:
    return text.rstrip(_CLOSING).lower()


def _upper(rng: random.Random, text: str) -> str:
    return _RAISED_SLOT.sub(lambda match: match[0].lower(), text.upper())


def _emphatic(rng: random.Random, text: str) -> str:
    return text.rstrip(_CLOSING) + rng.choice(("?", "??", "!", "!!", "...", " ?", " !"))


def _ascii_signs(rng: random.Random, text: str) -> str:
    return text.translate(_ASCII_SIGNS)


def _doubled_space(rng: random.Random, text: str) -> str:
    spaces = [i for i, sign in enumerate(text) if sign == " "]
    at = rng.choice(spaces) if spaces else len(text)
    return f"{text[:at]} {text[at:]}"


def _mistyped(rng: random.Random, text: str) -> str:
    """One letter inside of a word lost, or changed for its neighbour."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    changed = rng.choice(("", text[at + 1] + text[at]))
    return text[:at] + changed + text[at + (2 if changed else 1) :]


Habit = Callable[[random.Random, str], str]
_HABITS: Mapping[Language, tuple[tuple[float, Habit], ...]] = {
    "en": (
        *((0.07, _open), (0.04, _lower), (0.09, _lower_and_open), (0.02, _upper)),
        *((0.03, _emphatic), (0.02, _doubled_space), (0.03, _mistyped)),
    ),
    "zh": (*((0.12, _open), (0.06, _ascii_signs), (0.02, _lower), (0.01, _upper), (0.03, _emphatic)),),
}
