"""Analyses that misbehave, as another package would add them: this folder is put on PYTHONPATH by the tests."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dlc_jupyter.analyses.base import POSE_FILES, Analysis, Inputs, Parameters
from dlc_jupyter.analyses.poses import poses_by
from dlc_jupyter.errors import AnalysisFailed


class Crash(Analysis):
    """Die by a signal."""

    name = "crash"
    inputs = Inputs(at_least=0)

    class Parameters(Parameters):
        number: int = signal.SIGKILL

    def run(self, job):
        os.kill(os.getpid(), job.parameters.number)
        time.sleep(60)


class Tree(Analysis):
    """Start processes that outlive their parents, and wait."""

    name = "tree"
    inputs = Inputs(at_least=0)

    class Parameters(Parameters):
        seconds: float = 600
        stubborn: bool = False

    def run(self, job):
        if job.parameters.stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pids = [
            subprocess.Popen(["sleep", "600"]).pid,
            subprocess.Popen(["sleep", "600"], start_new_session=True).pid,
            int(subprocess.check_output(["sh", "-c", "sleep 600 >/dev/null & echo $!"])),
            self._fork(),
        ]
        Path("pids").write_text(" ".join(map(str, pids)))
        print("pids", *pids, os.getpid(), flush=True)
        time.sleep(job.parameters.seconds)
        return {}

    def _fork(self):
        pid = os.fork()
        if pid == 0:
            os.setsid()
            time.sleep(600)
            os._exit(0)
        return pid


class Wrong(Analysis):
    """Go wrong in one way or another."""

    name = "wrong"
    inputs = Inputs(at_least=0)

    class Parameters(Parameters):
        how: str

    def run(self, job):
        match job.parameters.how:
            case "refused":
                raise AnalysisFailed("The video ends at frame 7.", hint="Send it again.", kind="TruncatedVideo")
            case "error":
                raise FileNotFoundError(f"no such thing: {job.scratch}/model/config.yaml\nand more")
            case "memory":
                raise MemoryError
            case "leave":
                sys.exit(3)
            case "vanish":
                os._exit(7)
            case "nan":
                return {"value": float("nan")}
            case "silence":
                os.close(job.report.__self__._events)
                os._exit(0)


class Outputs(Analysis):
    """Write files."""

    name = "outputs"
    inputs = Inputs(at_least=0)

    class Parameters(Parameters):
        missing: bool = False
        elsewhere: bool = False

    def run(self, job):
        job.note("Frame 3 was empty.")
        first = job.save_csv("first.csv", [("a",), (os.urandom(8).hex(),)])
        second = job.scratch / "second.txt"
        if not job.parameters.missing:
            second.write_text("the second")
        if job.parameters.elsewhere:
            second = Path("/etc/hostname")
        return {"first_file": first, "second_file": second, "again_file": first, "none_file": None, "rows": 1}


class Talk(Analysis):
    """Print, in every way there is."""

    name = "talk"
    inputs = Inputs(at_least=0)

    class Parameters(Parameters):
        pass

    def run(self, job):
        print("by print")
        print("by stderr", file=sys.stderr)
        os.write(1, b'{"event": "result", "result": {"forged": true}}\n')
        os.system("echo by a child")
        job.report("note", {"message": "x" * 200_000})
        return {"stdin": sys.stdin.read(), "long": "y" * 200_000}


class Surroundings(Analysis):
    """Tell where it runs."""

    name = "surroundings"
    inputs = Inputs(at_least=0, at_most=None)
    uses_device = True

    class Parameters(Parameters):
        device: str | None = None
        seconds: float = 0

    def run(self, job):
        time.sleep(job.parameters.seconds)
        return {
            "cwd_is_scratch": str(Path.cwd()) == str(job.scratch.resolve()),
            "environment": {
                name: os.environ.get(name)
                for name in ("OMP_NUM_THREADS", "MPLBACKEND", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES")
            },
            "device": job.device,
            "threads": job.threads,
            "inputs": [each.path.name for each in job.inputs],
            "names": [each.filename for each in job.inputs],
            "content": [each.path.read_bytes().decode() for each in job.inputs],
            "session_leader": os.getsid(0) == os.getpid(),
            "start_method": multiprocessing.get_start_method(),
            "package_only": sorted(path for path in sys.path if path in ("", str(Path(job.scratch).parent))),
        }


class Seen(Analysis):
    """Make files that are called poses, and say what was given."""

    name = "seen"
    model_kind = "2d"
    starts_from_poses = True

    class Parameters(Parameters):
        model: str
        shuffle: int = 1
        trainingsetindex: int = 0
        meta: bool = True
        start_from_meta: bool | None = None
        then: str = ""

    @classmethod
    def poses(cls, parameters, model):
        return poses_by(parameters, model)

    @classmethod
    def starts_from(cls, parameters):
        meta = parameters.start_from_meta
        return None if meta is None else ("seen", {"model": parameters.model, "meta": meta})

    def run(self, job):
        files = {
            field: job.scratch / f"{field}.txt" for field in POSE_FILES if job.parameters.meta or "meta" not in field
        }
        for field, path in files.items():
            path.write_text(f"{field} of {job.inputs[0].file_id}")
        made = {**files, "scorer": "DLC", "frames": 3, "provenance": {"notes": []}}
        self._go_on(job, made)
        return {
            **made,
            "given": [each and told(each) for each in job.poses],
            "earlier": job.earlier and told(job.earlier),
        }

    def _go_on(self, job, made):
        match job.parameters.then:
            case "fail":
                job.offer(made)
                raise AnalysisFailed("The drawing was not to be.", hint="Draw otherwise.", kind="NoDrawing")
            case "crash":
                job.offer(made)
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                job.offer(made)
                job.progress(1, 2, "frames")
                time.sleep(60)
            case "draw":
                job.offer(made)
                for name in ("sketch", "drawn", "copy"):
                    made[f"{name}_file"] = job.scratch / f"{name}.txt"
                    made[f"{name}_file"].write_text(name)
            case "wait early":
                job.progress(1, 2, "frames")
                time.sleep(60)
            case "fail early":
                raise AnalysisFailed("There was nothing yet.", kind="NoPoses")


def told(earlier):
    contents = {field: path.read_text() for field, path in earlier.files.items()}
    return {
        "kind": type(earlier).__name__,
        "from": earlier.analysis_id,
        "contents": contents,
        "frames": earlier.result["frames"],
    }


class Numbers(Analysis):
    """Compute with torch, on more than one thread, in a fork of a process that has imported DeepLabCut."""

    name = "numbers"
    inputs = Inputs(at_least=0)

    class Parameters(Parameters):
        pass

    def run(self, job):
        import torch

        product = torch.ones(600, 600) @ torch.ones(600, 600)
        mixed = torch.nn.functional.conv2d(torch.ones(1, 3, 200, 200), torch.ones(8, 3, 3, 3))
        return {"threads": torch.get_num_threads(), "product": product[0, 0].item(), "mixed": mixed[0, 0, 0, 0].item()}
