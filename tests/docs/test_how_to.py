"""The how-tos: each task and place has one, each is found from the READMEs, their pictures are there, and their
commands run as they stand, against a server with the shipped model.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest

from qwen3vl.drawn import draw
from qwen3vl.settings import GenerationSettings, Settings
from qwen3vl.tasks.registry import TASKS
from support.films import film
from support.pages import page_site
from support.paper import leaf, paper

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "how-to" / "README.md"
HOW_TO = sorted(page for page in INDEX.parent.glob("*.md") if page != INDEX)
PICTURES = sorted((DOCS / "pictures").iterdir())
LARGEST, LARGEST_TOGETHER = 150_000, 2_500_000  # bytes
SHORT = 16  # tokens of an answer: that there is one is enough

Shell = Callable[[str], subprocess.CompletedProcess[str]]


def text_of(*pages: Path) -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def commands(page: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)


def shown(page: Path) -> set[Path]:
    return {(page.parent / name).resolve() for name in re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)", text_of(page))}


def test_each_task_and_each_place_has_a_how_to() -> None:
    text = "\n".join(block for page in HOW_TO for block in commands(page))
    asked = set(re.findall(r"\bask (\w+) |\$BASE/tasks/(\w+)", text))
    assert {task for pair in asked for task in pair if task} == set(TASKS)
    assert "$BASE/agent/sessions" in text
    assert "$BASE/indexes" in text


@pytest.mark.parametrize("page", [INDEX, ROOT / "README.md", ROOT / "README.zh.md"], ids=lambda page: page.name)
def test_each_how_to_is_found(page: Path) -> None:
    links = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)\s#]+\.md)", text_of(page))}
    assert set(HOW_TO) <= links


def test_the_readmes_lead_to_each_other_and_to_the_reference() -> None:
    for name, other in (("README.md", "README.zh.md"), ("README.zh.md", "README.md")):
        text = text_of(ROOT / name)
        for link in (
            other,
            "docs/api.md",
            "docs/settings.md",
            "docs/design.md",
            "docs/log.md",
            "docs/how-to/README.md",
        ):
            assert f"]({link})" in text, (name, link)


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_each_how_to_shows_the_page(page: Path) -> None:
    pictures = shown(page)
    assert pictures
    assert pictures <= set(PICTURES)


def test_the_pictures_are_small_and_all_shown() -> None:
    sizes = [picture.stat().st_size for picture in PICTURES]
    assert max(sizes) <= LARGEST
    assert sum(sizes) <= LARGEST_TOGETHER
    used = set.union(*map(shown, [*ROOT.glob("README*.md"), *HOW_TO]))
    assert used == set(PICTURES)
    recipes = re.findall(r'^(?:_simple|@picture)\("([\w-]+)"', text_of(DOCS / "pictures.py"), re.MULTILINE)
    assert sorted(recipes) == sorted(picture.stem for picture in PICTURES)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Bash in a folder with the files that the examples name; a request that is refused ends it with an error."""
    folder = tmp_path_factory.mktemp("how-to")
    for name, family in (
        ("chart", "charts"),
        ("diagram", "diagrams"),
        ("table", "documents"),
        ("receipt", "documents"),
    ):
        PIL.Image.fromarray(draw(random.Random(0), family, split="held_out").frames[0]).save(folder / f"{name}.png")
    (folder / "report.pdf").write_bytes(paper(leaf("Report", "Total: 42"), leaf("Second page")))
    (folder / "talk.mp4").write_bytes(film([(0, 6), (2, 6)], fps=2))
    with page_site(settings=Settings(generation=GenerationSettings(max_tokens=SHORT))) as site:

        def run(script: str) -> subprocess.CompletedProcess[str]:
            strict = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'
            ours = re.sub(r"^BASE=.*$", f"BASE={site.url}/v1", strict + "\n".join(commands(INDEX)), flags=re.MULTILINE)
            return subprocess.run(
                ["bash", "-c", f"{ours}\n{script}"], cwd=folder, capture_output=True, text=True, check=False
            )

        yield run


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_commands_run_as_they_stand(shell: Shell, page: Path) -> None:
    blocks = commands(page)
    assert blocks
    done = shell("\necho\n".join(blocks))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.strip()


def test_what_is_refused_says_why(shell: Shell) -> None:
    [command] = re.findall(r"`(ask [^`]*error[^`]*)`", text_of(INDEX))
    done = shell(f'curl() {{ command curl "$@"; }}\n{command}')
    assert "verse" in done.stdout
