"""Jupyter widgets: the state that a notebook keeps of them, and output widgets.

An output widget captures what the code under it publishes; the client, not the kernel, moves that
output into the widget, and sends it to the kernel.

Source: ipywidgets ``packages/schema/messages.md`` and ``jupyterwidgetmodels``; nbclient
``output_widget.py``.
"""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

STATE_MIMETYPE = "application/vnd.jupyter.widget-state+json"


class CommMessage(NamedTuple):
    """A ``comm_msg`` that the kernel must be sent.

    Attributes:
        comm_id: of the widget.
        data: its content.
        parent_header: header of the request that the change came from.
    """

    comm_id: str
    data: dict[str, Any]
    parent_header: dict[str, Any]


class Widgets:
    """The widgets of one document."""

    def __init__(self) -> None:
        self._states: dict[str, dict[str, Any]] = {}
        self._buffers: dict[str, dict[str, dict[str, Any]]] = {}
        self._outputs: dict[str, OutputWidget] = {}
        self._capturing: dict[str, list[OutputWidget]] = {}

    def comm(
        self, msg_type: str, content: dict[str, Any], buffers: Sequence[bytes | memoryview]
    ) -> None:
        """Take in a ``comm_open``, ``comm_msg`` or ``comm_close``."""
        comm_id = str(content.get("comm_id", ""))
        data = content.get("data")
        if not isinstance(data, dict):
            return
        state = data.get("state")
        if not isinstance(state, dict):
            return
        known = self._states.setdefault(comm_id, {})
        known.update(state)
        paths = data.get("buffer_paths")
        for path, buffer in zip(paths if isinstance(paths, list) else [], buffers, strict=False):
            self._buffers.setdefault(comm_id, {})[str(path)] = _encode_buffer(path, buffer)
        if msg_type == "comm_open" and _is_output_widget(state):
            self._outputs[comm_id] = OutputWidget(comm_id, known)
        elif msg_type == "comm_msg" and comm_id in self._outputs and "msg_id" in state:
            self._capture(self._outputs[comm_id], state["msg_id"])

    def capturing(self, parent_id: str) -> "OutputWidget | None":
        """The output widget that the output of a request goes to; None for the cell itself."""
        widgets = self._capturing.get(parent_id)
        return widgets[-1] if widgets else None

    def metadata(self) -> dict[str, Any] | None:
        """The notebook's ``widgets`` metadata; None when there are none."""
        state = {
            comm_id: self._serialize(comm_id, fields)
            for comm_id, fields in self._states.items()
            if "_model_name" in fields
        }
        if not self._states:
            return None
        return {STATE_MIMETYPE: {"state": state, "version_major": 2, "version_minor": 0}}

    def _serialize(self, comm_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        model = {
            "model_name": fields.get("_model_name"),
            "model_module": fields.get("_model_module"),
            "model_module_version": fields.get("_model_module_version"),
            "state": fields,
        }
        if comm_id in self._buffers:
            model["buffers"] = list(self._buffers[comm_id].values())
        return model

    def _capture(self, widget: "OutputWidget", msg_id: object) -> None:
        for stack in self._capturing.values():
            if widget in stack and not msg_id:
                stack.remove(widget)
        if isinstance(msg_id, str) and msg_id:
            self._capturing.setdefault(msg_id, []).append(widget)


class OutputWidget:
    """An ``OutputModel``: its ``outputs`` state is a list of notebook outputs.

    Attributes:
        comm_id: of the widget.
    """

    def __init__(self, comm_id: str, state: dict[str, Any]) -> None:
        self.comm_id = comm_id
        self._state = state
        self._clear_before_next = False
        if not isinstance(state.get("outputs"), list):
            state["outputs"] = []

    def add(self, parent_header: dict[str, Any], output: dict[str, Any]) -> list[CommMessage]:
        """Append one output, and return what to send to the kernel."""
        outputs: list[dict[str, Any]] = [] if self._clear_before_next else self._outputs
        self._clear_before_next = False
        last = outputs[-1] if outputs else None
        if (
            isinstance(last, dict)
            and last.get("output_type") == output["output_type"] == "stream"
            and last.get("name") == output["name"]
        ):
            outputs = [*outputs[:-1], {**last, "text": f"{last.get('text')}{output['text']}"}]
        else:
            outputs = [*outputs, output]
        return self._set(outputs, parent_header)

    def clear(self, parent_header: dict[str, Any], *, wait: bool) -> list[CommMessage]:
        """Drop the outputs, now or before the next one."""
        if wait:
            self._clear_before_next = True
            return []
        return self._set([], parent_header)

    @property
    def _outputs(self) -> list[dict[str, Any]]:
        outputs = self._state["outputs"]
        return list(outputs) if isinstance(outputs, list) else []

    def _set(
        self, outputs: list[dict[str, Any]], parent_header: dict[str, Any]
    ) -> list[CommMessage]:
        self._state["outputs"] = outputs
        data = {"method": "update", "state": {"outputs": outputs}, "buffer_paths": []}
        return [CommMessage(self.comm_id, data, parent_header)]


def _is_output_widget(state: dict[str, Any]) -> bool:
    return (
        state.get("_model_module") == "@jupyter-widgets/output"
        and state.get("_model_name") == "OutputModel"
    )


def _encode_buffer(path: object, buffer: bytes | memoryview) -> dict[str, Any]:
    return {"data": base64.b64encode(buffer).decode("ascii"), "encoding": "base64", "path": path}
