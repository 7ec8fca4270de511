"""The page talks to its own server, and to nobody else."""

import gradio.routes
from jinja2 import BaseLoader, ChoiceLoader, DictLoader

PAGE = "frontend/index.html"

SCRIPT = """
// On a Space, Gradio's script asks huggingface.co whether the Space runs before it draws what that Space has sent, and
// draws a header whose fonts come from Google. It has no setting for either.
window.gradio_config.space_id = null;
const ask = window.fetch;
window.fetch = (address, ...more) =>
  String(address).startsWith("https://huggingface.co/api/spaces/by-subdomain/")
    ? Promise.resolve(Response.json({ id: "", runtime: { stage: "RUNNING" } }))
    : ask(address, ...more);
"""


def keep_to_ourselves() -> None:
    """Add ``SCRIPT`` to the page that Gradio serves, before its own script runs."""
    pages = gradio.routes.templates.env
    loader = pages.loader
    assert isinstance(loader, BaseLoader)  # noqa: S101  # what Starlette makes
    page, *_ = loader.get_source(pages, PAGE)
    if SCRIPT in page:
        return
    if page.count("</head>") != 1:
        raise RuntimeError("this version of Gradio has another page")
    page = page.replace("</head>", f"<script>{{{SCRIPT}}}</script></head>")
    pages.loader = ChoiceLoader([DictLoader({PAGE: page}), loader])
