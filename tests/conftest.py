"""The fixtures of a real Jupyter server in the test's own process: ``jp_serverapp``, ``jp_fetch`` and their like."""

pytest_plugins = ["pytest_jupyter.jupyter_server"]
