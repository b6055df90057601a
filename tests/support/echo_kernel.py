"""A kernel of another kind: what it is sent it says again, and ``sleep N`` makes it sleep."""

import asyncio
from typing import Any, ClassVar

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class EchoKernel(Kernel):
    """Knows nothing of IPython."""

    implementation = "echo"
    implementation_version = "1"
    language = "echo"
    language_version = "1"
    language_info: ClassVar = {"name": "echo", "mimetype": "text/plain", "file_extension": ".txt"}
    banner = "echo"

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: Any = None,
        allow_stdin: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        if not silent:
            content = {"name": "stdout", "text": f"{code}\n"}
            self.send_response(self.iopub_socket, "stream", content)
        if code.startswith("sleep "):
            await asyncio.sleep(float(code.removeprefix("sleep ")))
        return {
            "status": "ok",
            "execution_count": self.execution_count,
            "payload": [],
            "user_expressions": {},
        }


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=EchoKernel)
