"""Files that change, are full, too large, or no files: the program says so and ends in order.

    files.py PROGRAM DATA [TEST ...]
"""
import os
import resource
import shutil
import subprocess
import sys
import threading
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
        """Files replaced by renaming, as they should be: the program continues with the old one."""
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
        self.end(process, WEIGHTS, "was cut from")
        self.assertNotIn('"failed"', results.read_text())  # what could not be asked is open, not wrong


def ask_set(output, *arguments, **more):
    return run("eval", "-m", make_model("model"), "-d", f"hops:{make_data()}", "--method", "direct", "--limit", 2, "-n", 2, "-t", 1,
               "-o", output, *arguments, **more)


def make_results():
    path = WORK / "results.jsonl"
    if not path.exists():
        done = ask_set(path)
        assert done.returncode == 0, done.stderr
    return path


def writers(output):
    """Commands that write one file at a given path."""
    return {"run": ("run", "-m", make_model("model"), *QUESTION, "-n", 2, "-t", 1, "--report", output),
            "eval report": ("eval", "report", make_results(), "-o", output),
            "eval export": ("eval", "export", make_results(), "--form", "indices", "-o", output)}


def dead_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


class Writers(Case):
    def assert_whole(self, path):
        text = path.read_text(encoding="utf-8")
        self.assertTrue(text.rstrip().endswith(("</html>", "}")), text[-80:])

    def test_nothing_is_replaced_without_force(self):
        for name, command in writers(WORK / "kept").items():
            path = WORK / "kept"
            path.write_text("precious")
            done = run(*command)
            self.assertEqual(done.returncode, 2, name)
            self.assertIn("--force", done.stderr)
            self.assertEqual(path.read_text(), "precious")
            done = run(*command, "--force")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_whole(path)
            path.unlink()
            self.assertEqual(run(*command).returncode, 0, name)
            self.assert_whole(path)

    def test_results_are_never_replaced_by_what_is_made_of_them(self):
        results, link = WORK / "read.jsonl", WORK / "link.jsonl"
        shutil.copyfile(make_results(), results)
        link.symlink_to(results)
        before = results.read_bytes()
        for part in (("report",), ("export", "--form", "indices")):
            for output in (results, link):
                self.assert_fails(run("eval", *part, results, "-o", output, "--force"), 2, "read here")
        self.assertEqual(results.read_bytes(), before)

    def test_a_tokenizer_is_not_replaced_without_force_and_that_of_a_model_never(self):
        command = ("data", "vocab", f"hops:{make_data()}", "--size", 300, "-o")
        folder = WORK / "tokenizer"
        self.assertEqual(run(*command, folder).returncode, 0)
        before = (folder / "tokenizer.json").read_bytes()
        (folder / "tokenizer.json").write_bytes(before + b" ")
        self.assert_fails(run(*command, folder), 2, "tokenizer.json", "--force")
        self.assertEqual((folder / "tokenizer.json").read_bytes(), before + b" ")
        self.assertEqual(run(*command, folder, "--force").returncode, 0)
        self.assertEqual((folder / "tokenizer.json").read_bytes(), before)
        model = copy_model("vocab-model")
        kept = (model / "tokenizer.json").read_bytes()
        for force in ((), ("--force",)):
            self.assert_fails(run(*command, model, *force), 2, "holds a model")
        self.assertEqual((model / "tokenizer.json").read_bytes(), kept)
        (folder / "tokenizer.json").rename(folder / "merges.txt")
        (folder / "tokenizer_config.json").unlink()
        self.assert_fails(run(*command, folder), 2, "merges.txt")

    def test_a_full_disk_is_told(self):
        for name, command in writers("/dev/full").items():
            done = run(*command)
            self.assertEqual(done.returncode, 1, name)
            self.assertRegex(done.stderr, r"tenebra: /dev/full: cannot be written: No space left on device; free space", name)
        done = ask_set("/dev/full")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/dev/full: is not a regular file", done.stderr)

    def test_a_pipe_that_nobody_reads_is_not_waited_for(self):
        pipe = WORK / "pipe"
        os.mkfifo(pipe)
        for name, command in writers(pipe).items():
            done = run(*command)
            self.assertEqual(done.returncode, 1, name)
            self.assertIn("reader has closed it", done.stderr)
        done = ask_set(pipe)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is not a regular file", done.stderr)
        self.assertTrue(pipe.is_fifo())

    def test_a_pipe_with_a_reader_is_written_to(self):
        pipe, read = WORK / "read", []
        os.mkfifo(pipe)
        for name, command in writers(pipe).items():
            reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")))
            reader.start()
            done = None
            for _ in range(1000):  # until the reader has opened it
                done = run(*command)
                if "reader has closed it" not in done.stderr:
                    break
            reader.join(HANG)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(read.pop().rstrip().endswith(("</html>", "}")), name)

    def test_the_largest_size_of_a_file_is_an_error_not_a_signal(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

        commands = {**writers(WORK / "large"),
                    "bench": ("bench", "--shape", "tiny", "--type", "F32", "-o", WORK / "large-model"),
                    "quantize": ("quantize", make_model("model"), "--type", "Q8_0", "-o", WORK / "large-packed"),
                    "convert": ("convert", make_model("model"), "-o", WORK / "large-converted"),
                    "vocab": ("data", "vocab", f"hops:{make_data()}", "--size", 300, "-o", WORK / "large-tokenizer"),
                    "make": ("data", "make", "hops", WORK / "large-set", "--train", 2, "--dev", 0, "--test", 0),
                    "train": ("train", "-m", make_model("model"), "-d", f"hops:{make_data()}", "-o", WORK / "large-run", "--set",
                              "max_updates=1", "--set", "validate=false")}
        for name, command in commands.items():
            done = run(*command, preexec_fn=limit)
            self.assertEqual(done.returncode, 1, f"{name}: {done.stderr}")
            self.assertRegex(done.stderr, r"File too large|[Ww]rite", name)
            self.assertFalse((WORK / "large").exists(), name)
        self.assertFalse((WORK / "large-packed").exists() or (WORK / "large-converted").exists())
        self.assertEqual([path.name for path in WORK.glob("large*.partial*")], [])
        done = ask_set(WORK / "large.jsonl", preexec_fn=limit)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("File too large", done.stderr)
        self.assertFalse((WORK / "large.jsonl").exists())  # nothing of use would be in it

    def test_what_killed_commands_left_is_taken_away(self):
        dead, alive = dead_process(), os.getpid()
        page, packed = WORK / "swept.html", WORK / "swept-packed"
        ours = [WORK / f"swept.html.partial-{dead}-0", WORK / f"swept-packed.partial-{dead}"]
        others = [WORK / f"swept.html.partial-{alive}-0", WORK / f"swept.html2.partial-{dead}-0", WORK / f"swept.html.partial-{dead}-0.txt",
                  WORK / "swept.html.partial-x-0", WORK / f"swept-packed.partial-{alive}"]
        for path in (*ours, *others):
            if "packed" in path.name:
                path.mkdir()
                path = path / "model.safetensors"
            path.write_text("half")
        done = run(*writers(page)["eval report"])
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("quantize", make_model("model"), "--type", "Q8_0", "-o", packed)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([path.name for path in ours if path.exists()], [])
        self.assertEqual([path.name for path in others if not path.exists()], [])

    def test_a_killed_command_leaves_one_that_the_next_takes_away(self):
        target = WORK / "killed-packed"
        command = ("quantize", make_model("model"), "--type", "Q4_0", "-o", target)
        left = []
        for delay in range(0, 200):  # until a kill comes between the first and the last file
            process = start(*command)
            time.sleep(delay / 2000)
            process.kill()
            process.communicate()
            left = list(WORK.glob("killed-packed.partial-*"))
            if left or target.exists():
                break
        done = run(*command, "--force")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(WORK.glob("killed-packed.partial-*")), [])


if __name__ == "__main__":
    main()
