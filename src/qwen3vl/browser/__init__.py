"""HTML to pixels in a browser that is shut off from everything else."""

from qwen3vl.browser.render import LONGEST_SIDE, Renderer

__all__ = ["LONGEST_SIDE", "Renderer"]
