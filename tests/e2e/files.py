"""Files that change, are full, too large, or no files: the program says so and ends in order.

    files.py PROGRAM DATA [TEST ...]
"""
import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import HANG, PROGRAM, WORK, Case, environment, main, make_model, run  # noqa: E402

QUESTION = ("-p", "What is small and green?")
WEIGHTS = "model.safetensors"


def copy_model(name):
    directory = WORK / name
    shutil.copytree(make_model("model"), directory)
    return directory


def make_data():
    directory = WORK / "hops"
    if not directory.exists():
        done = run("data", "make", "hops", directory, "--train", 8, "--dev", 2, "--test", 40, "--seed", 3)
        assert done.returncode == 0, done.stderr
    return directory


def start(*arguments):
    return subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=environment(), encoding="utf-8", errors="replace")


def wait_for(path, process):
    """Until the file has something in it, while the process runs."""
    end = time.monotonic() + HANG
    while not (path.exists() and path.stat().st_size > 0):
        assert process.poll() is None and time.monotonic() < end, process.stderr.read()
        time.sleep(0.01)


class Weights(Case):
    """Another program cuts a weight file, or writes into it, while this one runs."""

    def end(self, process, *words):
        _, errors = process.communicate(timeout=HANG)
        self.assertEqual(process.returncode, 1, errors)
        for word in words:
            self.assertIn(word, errors)
        self.assertNotIn("Sanitizer", errors)

    def ask_until_talking(self, directory):
        process = start("run", "-m", directory, *QUESTION, "-n", 8000, "-t", 2)
        self.assertEqual(len(process.stdout.read(1)), 1)
        return process

    def test_cut_to_nothing_while_answering(self):
        directory = copy_model("cut-run")
        process = self.ask_until_talking(directory)
        os.truncate(directory / WEIGHTS, 0)
        self.end(process, WEIGHTS, "was cut from")

    def test_cut_by_half_while_answering(self):
        directory = copy_model("half-run")
        process = self.ask_until_talking(directory)
        os.truncate(directory / WEIGHTS, os.path.getsize(directory / WEIGHTS) // 2)
        self.end(process, WEIGHTS, "was cut from")

    def test_copied_over_while_answering(self):
        directory = copy_model("over-run")
        process = self.ask_until_talking(directory)
        time.sleep(0.05)  # more than a tick of the file system's clock since the program opened it
        shutil.copyfile(make_model("model") + "/" + WEIGHTS, directory / WEIGHTS)  # cut, then as long as before
        self.end(process, WEIGHTS, "in use")

    def test_replaced_by_renaming_while_answering(self):
        """The way in which files are to be replaced: the program goes on with the old one."""
        directory = copy_model("new-run")
        (directory / "other").write_bytes(b"something else")
        process = start("run", "-m", directory, *QUESTION, "-n", 300, "-t", 2)
        self.assertEqual(len(process.stdout.read(1)), 1)
        os.replace(directory / "other", directory / WEIGHTS)
        _, errors = process.communicate(timeout=HANG)
        self.assertEqual(process.returncode, 0, errors)

    def test_cut_while_training_over_it(self):
        directory, folder = copy_model("cut-train"), WORK / "cut-training"
        changes = ("method=ivt-lr", "k_select=4", "lora_rank=2", "num_epochs=1000", "epochs_per_stage=1", "max_latent_stage=1",
                   "batch_size=1", "gradient_accumulation_steps=1", "logging_steps=1", "validate=false")
        process = start("train", "-m", directory, "-d", f"hops:{make_data()}", "-o", folder,
                        *(word for change in changes for word in ("--set", change)))
        wait_for(folder / "log.jsonl", process)
        os.truncate(directory / WEIGHTS, 4096)
        self.end(process, WEIGHTS, "was cut from")

    def test_cut_while_evaluating(self):
        directory, results = copy_model("cut-eval"), WORK / "cut.jsonl"
        process = start("eval", "-m", directory, "-d", f"hops:{make_data()}", "--method", "direct", "-n", 500, "-t", 2, "-o", results)
        wait_for(results, process)
        os.truncate(directory / WEIGHTS, 0)
        self.end(process)
        self.assertIn("was cut from", results.read_text())


if __name__ == "__main__":
    main()
