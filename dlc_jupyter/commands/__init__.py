"""What the subcommands of ``dlc-jupyter`` do, one module each; `dlc_jupyter.cli` reads their arguments."""
