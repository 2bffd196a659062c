"""tenebra eval: runs, kills, workers, changed configurations, failures, tables, exports, the probe."""
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from program import PROGRAM, WORK, Case, environment, main, make_model, run  # noqa: E402

METHODS = "direct,ivt-lr,ivt-lr:k-select=4:latent-text=noise,coconut"
QUESTIONS, WAYS = 12, 4


def make_data():
    directory = WORK / "looks"
    if not directory.exists():
        done = run("data", "make", "hops", directory, "--train", 2, "--dev", 2, "--test", QUESTIONS, "--seed", 5)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
    return directory


def arguments(output, *more, methods=METHODS, data=None):
    return ("eval", "-m", make_model("model"), "--data", f"hops:{data or make_data()}", "--method", methods, "--image-size",
            "112x112", "-n", 5, "-t", 1, "-o", output, *more)


def records(path):
    """Answers by question and method, without what depends on the clock, and its digest; the last of several counts."""
    found = {}
    for line in Path(path).read_text().splitlines()[1:]:
        row = json.loads(line)
        if "tenebra_eval" in row:
            continue
        row.pop("ms", None)
        row.pop("digest")
        for step in row.get("steps", []):
            step.pop("ms")
        found[row["n"], row["method"]] = row
    return found


class Eval(Case):
    @classmethod
    def setUpClass(cls):
        cls.whole = WORK / "whole.jsonl"
        done = run(*arguments(cls.whole))
        assert done.returncode == 0, done.stderr

    def test_records(self):
        lines = self.whole.read_text().splitlines()
        self.assertEqual(len(lines), 1 + QUESTIONS * WAYS)
        manifest = json.loads(lines[0])
        self.assertEqual(manifest["data"]["questions"], QUESTIONS)
        self.assertFalse(manifest["data"]["partial"])
        self.assertEqual(len(manifest["model"]["digest"]), 64)
        self.assertEqual([m["label"] for m in manifest["methods"]], METHODS.split(","))
        self.assertEqual(manifest["methods"][2]["settings"]["k-select"], "4")
        rows = records(self.whole)
        self.assertEqual(len(rows), QUESTIONS * WAYS)
        row = rows[0, "ivt-lr:k-select=4:latent-text=noise"]
        self.assertEqual(row["tokens"]["latent"], 3)
        self.assertEqual(row["tokens"]["injected"], 12)
        self.assertEqual(row["ar_steps"], row["tokens"]["sampled"] + 3)
        self.assertEqual(row["ar_steps_injected"], row["ar_steps"] + 12)
        self.assertEqual([len(step["picks"]) for step in row["steps"]], [4, 4, 4])
        self.assertIsNone(row["steps"][0]["hidden_cosine"])
        self.assertTrue(-1 <= row["steps"][1]["hidden_cosine"] <= 1)
        self.assertEqual(rows[0, "direct"]["tokens"]["latent"], 0)
        self.assertNotEqual(rows[0, row["method"]]["seed"], rows[1, row["method"]]["seed"])

    def test_the_answer_is_that_of_run(self):
        sample = json.loads(run("data", "show", f"hops:{make_data()}", "--split", "test", "--limit", 1, "--json",
                                "--preset", "ivtlr-infer").stdout.splitlines()[0])
        done = run("run", "-m", make_model("model"), "--image", sample["images"][0], "-p", sample["prompt"], "-n", 5,
                   "--image-size", "112x112", "--method", "coconut", "--json")
        answer, row = json.loads(done.stdout), records(self.whole)[0, "coconut"]
        self.assertEqual(answer["answer"], row["text"])
        self.assertEqual(answer["counts"]["positions_computed"], row["positions_computed"])

    def test_number_of_workers_changes_nothing(self):
        other = WORK / "workers.jsonl"
        self.assertEqual(run(*arguments(other, "--workers", 3)).returncode, 0)
        self.assertEqual(records(other), records(self.whole))
        rows = records(other)
        rows[0, "direct"]["text"] += "x"
        self.assertNotEqual(rows, records(self.whole))

    def test_number_of_questions_at_once_changes_nothing(self):
        methods = METHODS + ",ccot,mmcot,cof,ivt-lr:latent-text=given"  # passes, turns, and a question before the question
        more = ("--limit", 5, "--scores", "--answer-turn")
        alone = WORK / "alone.jsonl"
        self.assertEqual(run(*arguments(alone, *more, methods=methods)).returncode, 0)
        lines, expected = alone.read_text().splitlines(keepends=True), records(alone)
        self.assertTrue(any(row["passes"] > 2 for row in expected.values()))
        self.assertTrue(all(row["neutral"] for row in expected.values()))
        half = lines[:1 + len(expected) // 2]
        for count, workers, start in ((3, 1, []), (16, 1, []), (3, 2, []), (16, 1, half), (1, 1, half)):
            target = WORK / "at-once.jsonl"
            target.write_text("".join(start))
            done = run(*arguments(target, *more, "--parallel", count, "--workers", workers, methods=methods))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("per second", done.stderr)
            self.assertEqual(records(target), expected)
            written = target.read_text().splitlines(keepends=True)
            self.assertEqual(len(written), len(lines))
            times = [json.loads(line)["ms"] for line in written[1 + len(start[1:]):]]
            self.assertTrue(all(row.get("parallel", 1) == count for row in times))
            notes = json.loads(run("eval", "table", target, "--json").stdout)["notes"]
            self.assertEqual(any("at once" in note for note in notes), count > 1)
        found = records(target)
        found[2, "cof"]["text"] += "x"
        self.assertNotEqual(found, expected)
        self.assert_fails(run(*arguments(WORK / "none.jsonl", "--parallel", 65)), 2, "parallel")

    def test_killed_and_started_again(self):
        random.seed(11)
        target, seen = WORK / "killed.jsonl", set()
        for attempt in range(40):
            process = subprocess.Popen([PROGRAM, *map(str, arguments(target, "--workers", 1 + attempt % 3, "--parallel", 1 + attempt % 4))], env=environment(),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            before = target.stat().st_size if target.exists() else 0
            goal, deadline = before + random.randrange(1, 12000), time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if target.exists() and target.stat().st_size >= goal:
                    process.send_signal(signal.SIGKILL)
                    break
            process.wait()
            seen.add(process.returncode)
            if process.returncode == 0:
                break
        self.assertEqual(seen, {0, -signal.SIGKILL})
        self.assertEqual(records(target), records(self.whole))
        self.assertEqual(len(target.read_text().splitlines()), 1 + QUESTIONS * WAYS)

    def test_more_questions(self):
        target, methods = WORK / "more.jsonl", METHODS + ",ivt-lr:latent-text=given"
        for limit in (3, 7, None):
            done = run(*arguments(target, *(("--limit", limit) if limit else ()), methods=methods))
            self.assertEqual(done.returncode, 0, done.stderr)
        whole = WORK / "more-at-once.jsonl"
        self.assertEqual(run(*arguments(whole, methods=methods)).returncode, 0)
        self.assertEqual(records(target), records(whole))
        manifests = [row for row in map(json.loads, target.read_text().splitlines()) if "tenebra_eval" in row]
        self.assertEqual([m["data"]["questions"] for m in manifests], [3, 7, QUESTIONS])
        # The last question's neighbour was the first one, twice.
        self.assertEqual(len(target.read_text().splitlines()), 3 + QUESTIONS * (WAYS + 1) + 2)
        self.assertNotIn("so far", run("eval", "table", target).stderr)
        self.assert_fails(run(*arguments(target, "--limit", 7, methods=methods)), 1, "questions")
        self.assert_fails(run(*arguments(target, "--seed", 2, methods=methods)), 1, "seed")

    def test_changed_records_are_noticed(self):
        target = WORK / "touched.jsonl"
        lines = self.whole.read_text().splitlines(keepends=True)
        readers = (arguments(target), ("eval", "table", target), ("eval", "report", target, "-o", WORK / "touched.html"),
                   ("eval", "score", target), ("eval", "export", target, "--form", "indices", "--rows", "direct"))
        changes = ((5, '"correct":false', '"correct":true'), (9, '"n":', '"n": '), (20, '"sampled":', '"sampled":1'), (0, '"seed":0', '"seed":1'),
                   (3, '"digest":"', '"digest":"0'), (7, ',"digest":"', ',"other":"'))
        for number, old, new in changes:
            changed = list(lines)
            self.assertIn(old, changed[number])
            changed[number] = changed[number].replace(old, new, 1)
            text = "".join(changed)
            for reader in readers:
                target.write_text(text)
                self.assert_fails(run(*reader), 1, f"touched.jsonl:{number + 1 if number else 1}", "digest")
                self.assertEqual(target.read_text(), text)
        # Lines of another run, or in another order after their own manifest.
        other = WORK / "other-run.jsonl"
        self.assertEqual(run(*arguments(other, "--seed", 3)).returncode, 0)
        target.write_text("".join(lines[:4]) + other.read_text().splitlines(keepends=True)[4])
        self.assert_fails(run("eval", "table", target), 1, "touched.jsonl:5", "digest")
        target.write_text(lines[0] + "".join(reversed(lines[1:])))
        self.assertEqual(run("eval", "table", target).returncode, 0)

    def test_files_without_digests_are_read_but_not_continued(self):
        target = WORK / "old.jsonl"
        rows = [json.loads(line) for line in self.whole.read_text().splitlines()]
        for row in rows:
            del row["digest"]
        target.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = run("eval", "table", target)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("without digests", done.stderr)
        self.assertEqual(run("eval", "score", target).returncode, 0)
        self.assert_fails(run(*arguments(target)), 1, "older version", "--force-new")

    def test_a_running_file_is_left_alone(self):
        target = WORK / "running.jsonl"
        process = subprocess.Popen([PROGRAM, *map(str, arguments(target))], env=environment(), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while process.poll() is None and not (target.exists() and b"\n" in target.read_bytes()):
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        if process.poll() is None:
            for more in ((), ("--force-new",)):
                self.assert_fails(run(*arguments(target, *more)), 1, "another process")
        self.assertFalse((WORK / "running.jsonl.1").exists())
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(records(target), records(self.whole))

    def test_a_line_cut_off_is_asked_again(self):
        target = WORK / "torn.jsonl"
        text = self.whole.read_text().splitlines(keepends=True)
        target.write_text("".join(text[:6]) + text[6][:40])
        self.assertEqual(run(*arguments(target)).returncode, 0)
        self.assertEqual(records(target), records(self.whole))

    def test_interrupted(self):
        target = WORK / "interrupted.jsonl"
        process = subprocess.Popen([PROGRAM, *map(str, arguments(target, "--workers", 2, "--parallel", 3))], env=environment(),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (target.exists() and target.read_bytes().count(b"\n") > 2):
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        error = process.communicate()[1]
        if process.returncode != 0:  # else it was done before the signal came
            self.assertEqual(process.returncode, 1)
            self.assertIn("continues from there", error)
        self.assertEqual(run(*arguments(target)).returncode, 0)
        self.assertEqual(records(target), records(self.whole))

    def test_a_changed_configuration_is_refused_by_name(self):
        target = WORK / "changed.jsonl"
        shutil.copy(self.whole, target)
        for more, word in ((("--set", "coconut.n-latent=2"), "n-latent"), (("--limit", 3), "questions"), (("--seed", 3), "seed"),
                           (("--preset", "plain"), "preset"), (("-n", 6), "max_tokens"), (("--cache-type", "bf16"), "cache_type")):
            before = target.read_bytes()
            self.assert_fails(run(*arguments(target, *more)), 1, "changed.jsonl", word, "--force-new")
            self.assertEqual(target.read_bytes(), before)
        done = run(*arguments(target, "--seed", 3, "--force-new"))
        self.assertEqual(done.returncode, 0)
        self.assertNotIn("greedy", done.stderr)  # the interventions among the methods use the seed
        self.assertEqual(records(WORK / "changed.jsonl.1"), records(self.whole))
        self.assertNotEqual(records(target), records(self.whole))

    def test_what_greedy_decoding_does_not_use(self):
        done = run(*arguments(WORK / "greedy.jsonl", "--seed", 3, "--top-k", 4, "--limit", 1, methods="direct,coconut"))
        self.assertEqual(done.returncode, 0)
        self.assertIn("note: not used, because decoding is greedy (--temp is 0): --top-k, --seed\n", done.stderr)

    def test_changed_weights_are_refused_and_moved_ones_are_not(self):
        target, moved = WORK / "moved.jsonl", WORK / "moved-model"
        shutil.copy(self.whole, target)
        shutil.copytree(make_model("model"), moved)
        call = list(arguments(target))
        call[2] = moved
        self.assertEqual(run(*call).returncode, 0)
        weights = moved / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        self.assert_fails(run(*call), 1, "the files of the model have changed")

    def test_a_failing_question(self):
        self.check_a_failing_question("broken")

    def test_a_failing_question_among_others(self):
        self.check_a_failing_question("broken-at-once", "--parallel", 5)

    def check_a_failing_question(self, name, *more):
        broken, target = WORK / name, WORK / f"{name}.jsonl"
        shutil.copytree(make_data(), broken)
        picture = next(broken.rglob("*-test-3.png"))
        good = picture.read_bytes()
        picture.write_bytes(good[:100])
        done = run(*arguments(target, *more, data=broken))
        self.assertEqual(done.returncode, 1)
        self.assertIn("--retry", done.stderr)
        rows, expected = records(target), records(self.whole)
        self.assertEqual(len(rows), QUESTIONS * WAYS)
        failed = [key for key, row in rows.items() if row.get("failed")]
        self.assertEqual(sorted(key[0] for key in failed), [3] * WAYS)
        self.assertTrue(all(rows[key] == expected[key] for key in rows if key not in failed))
        self.assertTrue(all("sentence" in rows[key]["error"] for key in failed))
        picture.write_bytes(good)
        self.assertEqual(run(*arguments(target, *more, data=broken)).returncode, 1)  # still recorded as failed
        self.assertEqual(run(*arguments(target, *more, "--retry", data=broken)).returncode, 0)
        self.assertEqual(records(target), expected)

    def test_somebody_elses_file(self):
        target = WORK / "letter.txt"
        target.write_text("Dear reader\n")
        self.assert_fails(run(*arguments(target)), 1, "letter.txt")
        target.write_text("Dear reader")
        self.assert_fails(run(*arguments(target)), 1, "letter.txt")
        self.assertEqual(target.read_text(), "Dear reader")

    def test_mistakes(self):
        target = WORK / "none.jsonl"
        for more, methods, word in (((), "nothing", "no method"), ((), "direct:k-select=3", "k-select"),
                                    ((), "ivt-lr:k-select=many", "whole number"), ((), "direct,direct", "twice"),
                                    (("--k-select", 3), "direct", "k-select"), (("--set", "direct"), "direct", "METHOD.OPTION"),
                                    ((), "ivt-lr:k-select=3:k-select=4", "sets 'k-select' twice"),
                                    (("--set", "cot.cue=a"), "direct", "not among those asked for"),
                                    (("--set", "cot.clue=a"), "direct", "did you mean 'cue'"),
                                    (("--set", "thought.cue=a"), "direct", "no method 'thought'"),
                                    (("--set", "cot.cue=a", "--set", "cot.cue=b"), "cot", "cot.cue twice"),
                                    (("--ids", "nobody"), "direct", "nobody"), (("--preset", "x"), "direct", "verbatim")):
            self.assert_fails(run(*arguments(target, *more, methods=methods)), 2, word)
        self.assertFalse(target.exists())
        done = run("run", "-m", make_model("model"), "-p", "?", "--method", "coconut", "--latent-text", "given")
        self.assert_fails(done, 2, "'given'", "'tenebra eval'")

    def test_labels_in_the_progress_are_different(self):
        """Labels are shortened in whole characters, and those that differ only at the end stay different."""
        target = WORK / "labels.jsonl"
        methods = "ivt-lr:n-latent=2:latent-text=noise,ivt-lr:n-latent=2:latent-text=zero,cot:cue=" + 12 * "\u65e5"
        done = run(*arguments(target, "--limit", 1, methods=methods))
        self.assertEqual(done.returncode, 0, done.stderr)
        line = [line for line in done.stderr.splitlines() if line.startswith("3/3")][-1]
        for label in ("ivt-lr:n..ent-text=noise ", "ivt-lr:n..tent-text=zero ", "cot:cue=..\u65e5\u65e5\u65e5\u65e5 "):
            self.assertIn(label, line)

    def test_task_file(self):
        task, target = WORK / "task.yaml", WORK / "task.jsonl"
        task.write_text(f"model: {make_model('model')}\ndata: hops:{make_data()}\nmethod: [direct, coconut]\n"
                        "image_size: 112x112\npredict: 5\nthreads: 1\ncoconut.n-latent: 2\nlimit: 4\njson: true\nretry: false\n")
        done = run("eval", task, "-o", target, "--limit", 3)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([row["total"] for row in json.loads(done.stdout)["methods"]], [3, 3])
        self.assertEqual(records(target)[2, "coconut"]["tokens"]["latent"], 2)
        before = target.read_bytes()
        text = task.read_text()
        task.write_text(text.replace("limit: 4\njson: true", "limit: 3\njson: off") + "force_new: no\n")
        done = run("eval", task, "-o", target)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("{", done.stdout)
        self.assertEqual(target.read_bytes(), before)
        task.write_text(text.replace("json: true", "json: maybe"))
        self.assert_fails(run("eval", task, "-o", target), 2, "json", "maybe", "neither true nor false")
        task.write_text(text.replace("limit: 4", "limit: false"))
        self.assert_fails(run("eval", task, "-o", target), 2, "limit", "false")
        task.write_text("model: x\nmodle: y\n")
        self.assert_fails(run("eval", task), 2, "modle")

    def test_export(self):
        done = run("eval", "export", self.whole, "--form", "messages", "--rows", "coconut")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        rows = records(self.whole)
        self.assertEqual([line["messages"][1] for line in lines], [rows[n, "coconut"]["text"] for n in range(QUESTIONS)])
        self.assertEqual([line["answer"] for line in lines], [rows[n, "coconut"]["gold"] for n in range(QUESTIONS)])
        self.assertEqual(set(lines[0]), {"id", "choices", "answer", "domain", "topic", "messages"})
        done = run("eval", "export", self.whole, "--form", "indices", "--rows", "direct")
        results = json.loads(done.stdout)["results"]
        self.assertEqual(results, {rows[n, "direct"]["id"]: -1 if rows[n, "direct"]["choice"] is None else
                                   rows[n, "direct"]["choice"] for n in range(QUESTIONS)})
        self.assert_fails(run("eval", "export", self.whole, "--form", "indices"), 2, "name one")

    def test_probe(self):
        target = WORK / "probe.jsonl"
        call = list(arguments(target, "--json", "--limit", 4, methods="ivt-lr"))
        call.insert(1, "probe")
        done = run(*call)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        names = [row[0] for row in report["tables"][0]["rows"]]
        for name in ("unchanged", "latent text: zeros", "latent text: another question's", "picks: random", "no latent steps"):
            self.assertIn(name, names)
        self.assertIn("4 of 4 answers name no option that the scorer 'strict' reads", report["words"][0])
        self.assertEqual(report["scorer"], "strict")
        before = target.read_bytes()
        again = json.loads(run(*call, "--scorer", "m3cot").stdout)
        self.assertEqual((again["scorer"], target.read_bytes()), ("m3cot", before))
        self.assert_fails(run(*call, "--scorer", "nobody"), 2, "nobody")
        rows = records(target)
        given = "ivt-lr:as-it-is:latent-text=given"
        # The trace of step one has the question's own hidden state; the next steps follow from the replacement.
        own, other = rows[0, "ivt-lr:as-it-is"], rows[0, given]
        self.assertEqual(own["steps"][0]["hidden_norm"], other["steps"][0]["hidden_norm"])
        self.assertNotEqual(own["steps"][1]["hidden_norm"], other["steps"][1]["hidden_norm"])
        call[call.index("ivt-lr")] = "direct"
        self.assert_fails(run(*call), 2, "no latent steps")

    def test_table(self):
        done = run("eval", "table", self.whole, "--json")
        tables = {table["name"]: table for table in json.loads(done.stdout)["tables"]}
        self.assertEqual([row[0] for row in tables["methods"]["rows"]], METHODS.split(","))
        self.assertEqual(sum(row[1] for row in tables["domains"]["rows"]), QUESTIONS)
        self.assertIn("looks", tables)
        silent = sum(row["choice"] is None for row in records(self.whole).values() if row["method"] == "direct")
        self.assertEqual(tables["methods"]["rows"][0][4], silent)
        self.assertIn("name no option (scorer 'strict'", run("eval", "table", self.whole, "--table", "domains").stdout)
        self.assertIn("name no option (scorer 'strict'", run("eval", "table", self.whole, "--form", "csv").stderr)
        # Another scorer, with only the file and its data set; the same numbers as those of eval score.
        again = json.loads(run("eval", "table", self.whole, "--scorer", "m3cot", "--json").stdout)
        scores = json.loads(run("eval", "score", self.whole, "--scorer", "m3cot", "--json").stdout)["files"]
        self.assertEqual(again["scorer"], "m3cot")
        self.assertEqual([row[3]["correct"] for row in again["tables"][0]["rows"]], [f["scores"]["m3cot"]["correct"] for f in scores])
        self.assert_fails(run("eval", "table", self.whole, "--scorer", "m3cot", "--data", f"hops:{WORK / 'nowhere'}"), 1, "nowhere")
        self.assert_fails(run("eval", "table", self.whole, "--scorer", "nobody"), 2, "nobody")
        self.assertEqual(run("eval", "table", self.whole, "--table", "nothing").returncode, 2)
        for form in ("text", "markdown", "csv", "latex"):
            self.assertIn("coconut", run("eval", "table", self.whole, "--form", form).stdout)


main()
