"""The web page, made with Gradio."""

import os

# Before gradio is imported, which reads them: no usage reports, no look for newer versions.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from qwen3vl.webui.mount import mount_page

__all__ = ["mount_page"]
