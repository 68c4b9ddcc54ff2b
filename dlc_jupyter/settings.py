"""Every option, in one place: read by the server, the worker and the command line alike.

The options are traits of `Settings`; `dlc_jupyter.app.DLCApp` inherits them, so that they are written
``c.DLCApp.<option>`` in ``jupyter_server_config.py`` and ``--DLCApp.<option>=…`` on the command line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_config_path, jupyter_data_dir
from traitlets import Bool, Dict, Float, Integer, TraitError, Unicode, validate
from traitlets.config import Config, Configurable
from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

GIB = 1 << 30

#: The configuration files that a server reads, without their endings; the later ones win over the earlier ones.
CONFIG_NAMES = ("jupyter_dlc_config", "jupyter_config", "jupyter_server_config")


class ConfigFileError(Exception):
    """A configuration file cannot be read; the message names it."""


class Settings(Configurable):
    """The options of dlc_jupyter. See each option's help."""

    data_dir = Unicode(
        help="Folder of the store, the database, the logs, the scratch space and the 3D models that were made here. "
        "It should lie on a local disk with room for the videos."
    ).tag(config=True)
    models = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="Registered models: a name of your choice and the path of a DeepLabCut config.yaml, 2D or 3D.",
    ).tag(config=True)
    models_dir = Unicode(
        "", help="Every DeepLabCut project found below this folder is a model, named by the project's folder."
    ).tag(config=True)
    superanimal_dir = Unicode(
        "",
        help="Folder with the weights of DeepLabCut's SuperAnimal models, such as "
        "superanimal_topviewmouse_hrnet_w32.pt. They are not downloaded: what the analysis superanimal misses there, "
        "it names, with where it comes from.",
    ).tag(config=True)
    max_upload_bytes = Integer(100 * GIB, min=1, help="Largest file that may be uploaded, in bytes.").tag(config=True)
    min_free_bytes = Integer(
        2 * GIB, min=0, help="Uploads are refused when they would leave less than this free on the disk, in bytes."
    ).tag(config=True)
    store_quota_bytes = Integer(
        0, min=0, help="Most that all stored files together may take, in bytes. 0: as much as the disk has."
    ).tag(config=True)
    expire_files_days = Float(
        30.0, min=0, help="Uploaded files that no analysis has used for this many days are removed. 0: never."
    ).tag(config=True)
    expire_uploads_hours = Float(
        72.0,
        min=0,
        help="Unfinished uploads of which nothing has come for this many hours are removed; until then they can be "
        "gone on with. 0: never.",
    ).tag(config=True)
    expire_analyses_days = Float(
        90.0, min=0, help="Finished analyses and their results are removed after this many days. 0: never."
    ).tag(config=True)
    evict_unused_hours = Float(
        24.0,
        min=0,
        help="When the disk or the quota runs out, uploads that were not used for this many hours are removed "
        "before their time, the longest unused first. 0: never.",
    ).tag(config=True)
    cleanup_hours = Float(
        1.0, min=0, help="How often the worker removes what has expired, in hours. 0: only by command."
    ).tag(config=True)
    start_worker = Bool(
        True, help="Whether the server starts and watches a worker. Turn it off where workers are started by hand."
    ).tag(config=True)
    engine_python = Unicode(
        help="The Python in which DeepLabCut is installed; the server's own where it is left out."
    ).tag(config=True)
    engine_idle_minutes = Float(
        0.0,
        min=0,
        help="The engine (DeepLabCut loaded, about 600 MB of memory) is stopped when nothing was analysed for this "
        "many minutes; the next analysis then waits about ten seconds for it. 0: never.",
    ).tag(config=True)
    device = Unicode(
        "auto",
        help="Where models run: auto (a free GPU, or the processor where there is none), cpu, cuda, or cuda:<number>.",
    ).tag(config=True)
    device_lock_dir = Unicode(
        "/tmp/dlc-jupyter-devices",
        help="Folder of the locks that keep one analysis at a time on each GPU of this machine. "
        "All users of the machine must name the same one.",
    ).tag(config=True)
    threads = Integer(
        0, min=0, help="Processor threads that an analysis may use. 0: as many as the worker may run on."
    ).tag(config=True)
    max_attempts = Integer(
        3, min=1, help="How often an analysis whose process was killed is tried in all, before it fails."
    ).tag(config=True)
    lease_seconds = Float(
        30.0, min=1, help="An analysis whose worker has not been heard of for this long goes back to the queue."
    ).tag(config=True)
    database_url = Unicode("", help="SQLAlchemy URL of the database. Left out: SQLite in the data folder.").tag(
        config=True
    )

    @classmethod
    def section_names(cls) -> list[str]:
        """Read the section ``DLCApp``, as the server does."""
        return ["DLCApp"] if cls is Settings else super().section_names()

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of all options, in the order of this file."""
        return [name for name in Settings.__dict__ if name in Settings.class_trait_names(config=True)]

    def _data_dir_default(self) -> str:
        return str(Path(jupyter_data_dir()) / "dlc")

    def _engine_python_default(self) -> str:
        return sys.executable

    @validate("data_dir")
    def _valid_data_dir(self, proposal: Any) -> str:
        if not str(proposal["value"]).strip():
            raise TraitError("data_dir must name a folder; leave it out for the default one")
        return str(proposal["value"])

    @validate("device")
    def _valid_device(self, proposal: Any) -> str:
        device = str(proposal["value"])
        if device in ("auto", "cpu", "cuda") or (device.startswith("cuda:") and device[5:].isdigit()):
            return device
        raise TraitError(f"device must be auto, cpu, cuda or cuda:<number>, not {device!r}")

    @property
    def root(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data_dir).expanduser().absolute()

    def frozen(self) -> Settings:
        """Return a plain copy of the options, without the application that read them."""
        return Settings(**{name: getattr(self, name) for name in self.option_names()})

    def to_json(self) -> str:
        """Return all options as JSON, to hand them to another process."""
        return json.dumps({name: getattr(self, name) for name in self.option_names()})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Return the options that `to_json` wrote."""
        return cls(**json.loads(text))


def read_config(config_file: Path | None = None) -> Config:
    """Read the configuration files in the order of Jupyter's server.

    Parameters
    ----------
    config_file : Path, optional
        What ``--config`` names: it is read instead of ``jupyter_server_config``.

    Raises
    ------
    ConfigFileError
        One cannot be read.
    """
    names = CONFIG_NAMES if config_file is None else CONFIG_NAMES[:-1]
    config = Config()
    for path in [*_config_files(names), *([config_file] if config_file else [])]:
        config.merge(_load(path))
    return config


def _config_files(names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        for folder in reversed(jupyter_config_path()):
            for ending in (".py", ".json"):
                path = Path(folder, name + ending)
                if path.exists():
                    yield path


def _load(path: Path) -> Config:
    loader = JSONFileConfigLoader if path.suffix == ".json" else PyFileConfigLoader
    try:
        config: Config = loader(path.name, path=str(path.absolute().parent)).load_config()
    except Exception as error:  # a configuration file is a program: anything may come out of it
        raise ConfigFileError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    return config


def read_settings(config: Config) -> Settings:
    """Return the options that are in `config`; what else is there belongs to others.

    Raises
    ------
    traitlets.TraitError
        An option has a value that it cannot have.
    """
    section = {name: value for name, value in config.get("DLCApp", {}).items() if name in Settings.option_names()}
    return Settings(config=Config({"DLCApp": section}))
