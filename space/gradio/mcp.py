"""The models as tools for agents (Model Context Protocol), one each: Gradio's server at ``/gradio_api/mcp/``."""

import json
import logging
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio.mcp
from gradio.mcp import GradioMCPServer
from gradio.utils import get_upload_folder
from gradio_client import handle_file
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import TextContent

NO_ADDRESS = "Send the radiograph as a public http or https address, or as a data: URL with its bytes in base64."

_UPLOADED = "/gradio_api/file="


def one_tool_a_model() -> None:
    """Let ``mcp_server=True`` mean the server below. Call it before the page is mounted."""
    vars(gradio.mcp)["GradioMCPServer"] = ModelTools
    # Gradio settles where films in base64 go before our private folder is there, and so outside of what is swept.
    vars(gradio.mcp)["DEFAULT_TEMP_DIR"] = get_upload_folder()
    # A message that it cannot read is logged with all its words, a film's among them: by its own loggers, and by
    # the nameless one, which we never use.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_not_of_mcp)


class RoomForAFilm(StreamableHTTPSessionManager):
    """By itself it takes messages of 4 MiB, and a film in base64 has up to 27. ``space.http.bodies`` bounds them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, max_request_body_size=sys.maxsize)


class ModelTools(GradioMCPServer):
    """Gradio's server, which by itself makes every public route a tool and answers in Python's notation."""

    StreamableHTTPSessionManager = RoomForAFilm  # type: ignore[assignment]

    def get_tool_to_endpoint(self) -> dict[str, str]:
        """Tools are the routes marked with ``gr.mcp.tool``, by their own names; on a Space, its name goes in front."""
        tools: dict[str, str] = {}
        for endpoint in self.api_info["named_endpoints"]:
            route = self.get_block_fn_from_endpoint_name(endpoint)
            if route and getattr(route.fn, "_mcp_type", None) == "tool":
                name = self.valid_and_unique_tool_name(self.tool_prefix + endpoint.lstrip("/"), set(tools))
                tools[name] = endpoint
        return tools

    def get_input_schema(
        self, tool_name: str, parameters: dict[str, str] | None = None
    ) -> tuple[dict[str, Any], list[list[str | int]]]:
        """One string, ``image``. Gradio leaves parts of its file object in, which a strict client stumbles over."""
        schema, positions = super().get_input_schema(tool_name, parameters)
        described = (parameters or {}).get("image", "")
        image = {"type": "string", "description": f"{described} A data: URL with its bytes in base64 will do too."}
        return {**schema, "properties": {"image": image}}, positions

    def convert_strings_to_filedata(self, value: Any, filedata_positions: list[list[str | int]]) -> Any:
        """The tool's arguments, with the film as Gradio's file; raises ValueError with one sentence."""
        film = value.get("image")
        try:
            if isinstance(film, str) and film.startswith(("http://", "https://", "data:")):
                if upload := _uploaded(film):
                    return {**value, "image": handle_file(upload)}
                return super().convert_strings_to_filedata(value, filedata_positions)
        except (ValueError, OSError):
            pass
        raise ValueError(NO_ADDRESS)

    @property
    def local_url(self) -> str:
        """Where this server calls its own routes: the port that the caller reached, as the connection tells it.

        Gradio would go by the first caller's headers, who could name a host of their own for all who follow.
        """
        request: Any = self.mcp_server.request_context.request
        return f"http://127.0.0.1:{request.scope['server'][1]}"

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """The answer as JSON."""
        return [TextContent(type="text", text=json.dumps(answer, ensure_ascii=False)) for answer in data]


def _uploaded(address: str) -> Path | None:
    """The upload that an address of our own stands for, since a Space cannot always fetch from itself."""
    _, found, path = address.partition(_UPLOADED)
    upload = Path(unquote(path)).resolve()
    inside = upload.is_relative_to(Path(get_upload_folder()).resolve())
    return upload if found and inside and upload.is_file() else None


def _not_of_mcp(record: logging.LogRecord) -> bool:
    return "/mcp/shared/" not in record.pathname
