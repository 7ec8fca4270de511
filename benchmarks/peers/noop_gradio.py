"""Gradio that takes a film and does nothing with it: what a Gradio route costs before any of the work.

One file component, one function, one JSON component, Gradio's own queue and its own server. The function is a
coroutine, which Gradio awaits where it stands; one that works would have to be sent to a thread.
"""

import argparse
import os
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported

import gradio as gr


async def no_op(image: str) -> dict[str, int]:
    """The size of the file ``image``."""
    return {"bytes": Path(image).stat().st_size}


def main(port: int) -> None:
    """Serve until told to end."""
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Button().click(no_op, gr.File(label="image"), gr.JSON(), api_name="predict")
    page.launch(server_name="127.0.0.1", server_port=port, quiet=True, ssr_mode=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    main(parser.parse_args().port)
