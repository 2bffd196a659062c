"""Requests for memory that fail, one after the other: each command then ends with exit code 1 and a sentence that says so,
or does what it does otherwise. It never crashes, and never gives another result with exit code 0.

    E2E_MEMORY=LIBRARY memory.py PROGRAM DATA [TEST ...]      LIBRARY: tests/e2e/support/memory.c, built

Each command runs with E2E_POINTS (12) of its requests refused, at even distances, and again with all that follow them, and
each of the last ones; with E2E_POINTS=all every request takes its turn.
"""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from checkpoint import adapted, read_safetensors, write_checkpoint  # noqa: E402
from program import DATA, HANG, PICTURE, PROGRAM, WORK, Case, environment, main, make_model, run  # noqa: E402

LIBRARY, POINTS = os.environ.get("E2E_MEMORY"), os.environ.get("E2E_POINTS", "12")
TRUE_SENTENCE = re.compile("memory|starts no more than|thread", re.I)
# What depends on the clock or on the path: times, digests over them, the output, and the number that a page takes from its content.
VARYING = re.compile(rb'"(ms|[a-z_]*_ms|seconds|mfu|tokens_per_second|output|(tenebra\.)?digest)": ?(\{[^}]*\}|[-0-9.e+]+|"[^"]*")'
                     rb'|nonce[-="]+[0-9a-f]{32}')
PACE = re.compile(r"\d+ tokens/s, [\d:]+")  # at the end of a training
LAST = 5  # requests of which each is refused
MOST = 12  # failures that are shown of a command


def files_of(path, only=""):
    """{name inside: bytes} of a file or a directory, of the names that begin so, without what varies."""
    path = Path(path)
    paths = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): VARYING.sub(b"", p.read_bytes()) for p in paths if str(p.relative_to(path)).startswith(only)}


class Memory(Case):
    def start(self, arguments, number, onwards=False, report=None):
        extra = {"LD_PRELOAD": LIBRARY, "MEMORY_REFUSE": str(number)}
        if onwards:
            extra["MEMORY_REFUSE_ON"] = "1"
        if report is not None:
            extra["MEMORY_REQUESTS"] = str(report)
        return subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
                              errors="replace", env=environment(extra), timeout=HANG, check=False)

    def judge(self, done, expected, output, wanted, only):
        """What is wrong with a run, or None."""
        if done.returncode not in (0, 1):
            return f"exit code {done.returncode}"
        if done.returncode == 1:
            return None if TRUE_SENTENCE.search(done.stderr) else "not told as memory"
        if done.stdout != expected:
            line = next((a for a, b in zip_longest(done.stdout.split("\n"), expected.split("\n")) if a != b), None)
            return f"exit code 0 with another text: {line!r}"
        if output is not None and (not Path(output).exists() or files_of(output, only) != wanted):
            found = files_of(output, only) if Path(output).exists() else {}
            names = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
            return f"exit code 0 with other files: {names}"
        return None

    def sweep(self, *arguments, writes=False, only=""):
        """OUTPUT among the arguments is replaced by a path that the command writes, a new one each time; `only` says with what
        the names of the files begin that are the same each time."""
        name = self.id().rsplit(".", 1)[-1]

        def with_output(number):
            output = WORK / f"{name}-{number}" if writes else None
            return output, [output if argument == "OUTPUT" else argument for argument in arguments]

        output, whole = with_output("whole")
        report = WORK / f"{name}.requests"
        done = self.start(whole, 0, report=report)
        self.assertEqual(done.returncode, 0, done.stderr)
        expected, count = PACE.sub("", done.stdout), int(report.read_text())
        wanted = files_of(output, only) if writes else None
        self.assertGreater(count, 20)

        def attempt(job):
            number, onwards = job
            output, changed = with_output(f"{number}{'+' if onwards else ''}")
            done = self.start(changed, number, onwards)
            done.stdout = PACE.sub("", done.stdout.replace(str(output), str(whole_output)) if writes else done.stdout)
            problem = self.judge(done, expected, output, wanted, only)
            if writes:
                shutil.rmtree(output, ignore_errors=True)
                Path(output).unlink(missing_ok=True)
            return job, problem, done

        whole_output = output
        step = 1 if POINTS == "all" else max(1, count // int(POINTS))
        jobs = [(n, False) for n in range(1, count + 1, step)] + [(n, True) for n in range(1 + step // 2, count + 1, step)]
        jobs += [(n, False) for n in range(count - LAST, count + 1) if (n, False) not in jobs]  # those of the output
        problems, refused = [], 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for (number, onwards), problem, done in pool.map(attempt, jobs):
                refused += done.returncode == 1
                if problem is not None:
                    problems.append(f"request {number}{' and on' if onwards else ''}: {problem}: {done.stderr[-300:]!r}")
        print(f"{name}: {count} requests, {len(jobs)} runs, {refused} ended with an error", file=sys.stderr)
        self.assertGreater(refused, len(jobs) // 10)  # the refusals reach the program
        if problems:
            self.fail("\n".join([f"{len(problems)} of {len(jobs)} runs:", *problems[:MOST]]))

    def test_run(self):
        self.sweep("run", "-m", make_model("model"), "-n", 3, "--image-size", "56x56", "-t", 2, "--image", PICTURE, "-p", "What?",
                   "--method", "ivt-lr", "--choice", "yes", "--choice", "no")

    def test_run_trace(self):
        report = ("run", "-m", make_model("model"), "-n", 2, "--image-size", "56x56", "-t", 1, "--image", PICTURE, "-p", "What?",
                  "--method", "ivt-lr", "--report", "OUTPUT")
        self.sweep(*report, writes=True)

    def test_inspect(self):
        self.sweep("inspect", "-m", make_model("model"), "--all")

    def test_inspect_json(self):
        self.sweep("inspect", "-m", make_model("model"), "--json")

    def test_verify(self):
        self.sweep("verify", DATA / "golden/other_shape/case.safetensors", "-m", DATA / "golden/other_shape/model", "-t", 1)

    def test_quantize(self):
        self.sweep("quantize", make_model("model"), "-o", "OUTPUT", "--type", "Q8_0", "-t", 1, writes=True)

    def test_convert(self):
        path = WORK / "model.pth"
        write_checkpoint(path, adapted(read_safetensors(Path(make_model("model")) / "model.safetensors")))
        self.sweep("convert", path, "--base", make_model("model"), "-o", "OUTPUT", "--merge", "-t", 1, writes=True)

    def test_tokenize(self):
        self.sweep("tokenize", "-m", make_model("model"), "-p", "A sentence, with some words in it: caf\u00e9.")

    def data(self):
        directory = WORK / "looks"
        if not directory.exists():
            done = run("data", "make", "hops", directory, "--train", 6, "--dev", 2, "--test", 3, "--seed", 5)
            self.assertEqual(done.returncode, 0, done.stderr)
        return directory

    def test_data_make(self):
        self.sweep("data", "make", "hops", "OUTPUT", "--train", 2, "--dev", 0, "--test", 1, "--seed", 5, writes=True)

    def test_data_check(self):
        self.sweep("data", "check", f"hops:{self.data()}")

    def evaluation(self, output):
        return ("eval", "-m", make_model("model"), "--data", f"hops:{self.data()}", "--method", "direct,ivt-lr", "--image-size",
                "56x56", "-n", 2, "-t", 1, "-o", output)

    def results(self):
        path = WORK / "results.jsonl"
        if not path.exists():
            done = run(*self.evaluation(path))
            self.assertEqual(done.returncode, 0, done.stderr)
        return path

    def test_eval(self):
        self.sweep(*self.evaluation("OUTPUT"), writes=True)

    def test_eval_table(self):
        self.sweep("eval", "table", self.results())

    def test_eval_table_csv(self):
        self.sweep("eval", "table", self.results(), "--form", "csv")

    def test_eval_report(self):
        self.sweep("eval", "report", self.results(), "-o", "OUTPUT", writes=True)

    def test_train(self):
        recipe = WORK / "recipe.yaml"
        recipe.write_text(f"shape: tiny\ntokenizer: {DATA / 'tokenizer-small'}\ndata: hops:{self.data()}\nmethod: ivt-lr\n"
                          "k_select: 2\nepochs_per_stage: 1\nmax_latent_stage: 1\nnum_epochs: 2\nbatch_size_training: 2\n"
                          "gradient_accumulation_steps: 1\nlr: !!float \"1e-3\"\nmax_samples: 4\nval_samples: 1\nval_tokens: 1\n",
                          encoding="utf-8")
        self.sweep("train", recipe, "-o", "OUTPUT", "--set", "threads=1", writes=True, only="model/")


if __name__ == "__main__":
    if LIBRARY is None:
        sys.exit(77)  # a build whose allocator cannot be replaced
    main()
