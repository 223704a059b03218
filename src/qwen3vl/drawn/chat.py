"""Family `chat`: conversation without a picture: greetings, what it is, what it cannot do, missing pictures."""

from __future__ import annotations

from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.shapes import SHAPES
from qwen3vl.drawn.words import pairs

OUT_OF_SCOPE = (
    "I can't answer that: I am a small demo model. "
    "I can read simple pictures, documents, screens, charts and short videos.",
    "这个问题我回答不了：我只是一个小型演示模型，能看简单的图片、文档、界面、图表和短视频。",
)
NO_PICTURE = (
    "I can't see a picture here. Please add one and ask again.",
    "我没有看到图片，请添加图片后再问一次。",
)
SAID = {
    "greet": (
        "greet",
        "Hello! Send me a picture, a document or a short video and ask about it.",
        "你好！请发给我一张图片、一份文档或一段短视频，然后提问。",
    ),
    "chat_who": (
        "chat",
        "I am a small demo model in the Qwen3-VL architecture, trained on drawn pictures.",
        "我是一个Qwen3-VL架构的小型演示模型，用绘制的图片训练而成。",
    ),
    "chat_what": (
        "chat",
        "I can describe pictures, count and locate things, read text, tables and charts, operate screens, "
        "write HTML for pages and find events in short videos.",
        "我可以描述图片、数数和定位，读文字、表格和图表，操作界面，把网页写成HTML，还能找出短视频里的事件。",
    ),
    "chat_thanks": ("chat", "You're welcome!", "不客气！"),
    "chat_bye": ("chat", "Goodbye!", "再见！"),
}
PLACES = pairs("world")
# Questions that need a picture, and what fills their slots in English and Chinese.
NEED_PICTURES: dict[str, dict[str, tuple[str, str]]] = {
    "describe": {},
    "count": {"things": ("shapes", "图形")},
    "ocr_page": {},
    "ocr_only": {},
    "table_html": {},
    "key_values": {},
    "receipt_total": {},
    "html": {},
    "chart_values": {},
    "drawio": {},
    "video_events": {},
}


def chat(scene: Scene) -> None:
    rng, language = scene.rng, scene.language
    scene.kind = "none"
    for key, (task, english, chinese) in SAID.items():
        text = scene.say(english, chinese)
        scene.ask(task, key, text, {"text": text}, 1.0 if task == "greet" else 0.4)
    for _ in range(3):
        ask_out_of_scope(scene, 1.2)
    text = scene.say(*NO_PICTURE)
    for key in rng.sample(list(NEED_PICTURES), 2):
        slots = {name: pair[language == "zh"] for name, pair in NEED_PICTURES[key].items()}
        scene.ask("no_picture", key, text, {"text": text}, 1.0, **slots)
    shape = scene.say(*SHAPES[rng.choice(list(SHAPES))][::2])
    scene.ask("no_picture", "color", text, {"text": text}, 0.6, shape=shape)


def ask_out_of_scope(scene: Scene, weight: float) -> None:
    """Something that only a large model, or a person, could answer."""
    rng, words = scene.rng, scene.words
    text = scene.say(*OUT_OF_SCOPE)
    topic = words.word() if scene.language == "en" else words.zh(2, 4)
    numbers = {"a": str(rng.randint(2, 99)), "b": str(rng.randint(2, 99))}
    place = scene.say(*rng.choice(PLACES))
    scene.ask("out_of_scope", "out_of_scope", text, {"text": text}, weight, topic=topic, place=place, **numbers)
