"""tenebra run: what goes to which stream, --json, messages, stdin, seeds, environment, interrupts.

    run.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import (HANG, OTHER_PICTURE, PICTURE, PROGRAM, WORK, Case, ask, ask_json, environment, main, make_model,
                     run)  # noqa: E402

QUESTION = ("-p", "What is small and green?")
LATENT = ("--method", "ivt-lr", "--n-latent", "3", "--k-select", "4", "--image", PICTURE, *QUESTION)


class Streams(Case):
    def test_stdout_holds_the_answer_alone(self):
        plain, told, verbose = ask(*LATENT), ask(*LATENT, "--trace"), ask(*LATENT, "-v")
        answer = ask_json(*LATENT)["answer"]
        for done in (plain, told, verbose):
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout, answer + "\n")
        self.assertRegex(plain.stderr, r"^note +a model that was not trained for latent steps[^\n]*\n$")
        self.assertEqual(ask(*QUESTION).stderr, "")
        for step in ("step 1", "step 2", "step 3"):
            self.assertIn(step, told.stderr)
            self.assertNotIn(step, verbose.stderr)
        for word in ("k-select 4", "order vision-first", "sequential positions", "greedy", " total"):
            self.assertIn(word, told.stderr)
            self.assertIn(word, verbose.stderr)
        self.assertIn("attention ratio", told.stderr)
        self.assertIn("says", told.stderr)
        self.assertIn("image 1", told.stderr)

    def test_many_picks_are_cut_short(self):
        done = ask(*LATENT, "--k-select", "12", "--n-latent", "1", "--trace")
        self.assertIn("and 8 more", done.stderr)

    def test_what_the_latents_say_is_escaped(self):
        done = ask(*LATENT, "--trace", "--lens", "32", "--n-latent", "8")
        for line in done.stderr.splitlines():
            self.assertTrue(all(character.isprintable() for character in line), line)

    def test_a_full_device_is_a_failure(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            for arguments in ((), ("--json",)):
                done = ask(*LATENT, *arguments, stdout=full)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r"\Anote [^\n]*\ntenebra: stdout: could not be written to the end\n\Z")
            for arguments in (("--help",), ("run", "--help"), ("bench", "--list-kernels"),
                              ("inspect", "-m", make_model("model"), "--json"),
                              ("tokenize", "-m", make_model("model"), "-p", "a")):
                self.assertEqual(run(*arguments, stdout=full).returncode, 1, arguments)

    def test_a_reader_that_leaves(self):
        command = [PROGRAM, "run", "-m", make_model("model"), *QUESTION, "-n", "2000", "-t", "1"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment()) as process:
            self.assertEqual(len(process.stdout.read(1)), 1)
            process.stdout.close()
            errors = process.stderr.read()
            self.assertEqual(process.wait(HANG), 1)
        self.assertEqual(errors, b"")

    def test_closed_streams(self):
        command = '"$0" run -m "$1" -p hi -n 3 -t 1 '
        for closing, code in ((">&-", 1), ("2>&-", 0), ("<&-", 0), ("<&- >&- 2>&-", 1)):
            done = subprocess.run(["sh", "-c", command + closing, PROGRAM, make_model("model")], env=environment(),
                                  capture_output=True, timeout=HANG, check=False)
            self.assertEqual(done.returncode, code, closing)


class Json(Case):
    def test_every_field(self):
        done = ask("--json", *LATENT, "--lens", "3")
        self.assertTrue(done.stderr.startswith("note ") and done.stderr.count("\n") == 1)
        self.assertEqual(done.stdout.count("\n"), 1)
        trace = json.loads(done.stdout)
        self.assertEqual(set(trace), {"answer", "method", "settings", "positions", "sampling", "kernels", "cache_type",
                                      "threads", "finish", "tokens", "steps", "counts", "ms", "passes", "note"})
        self.assertEqual(set(trace["counts"]), {"prompt", "image", "latent", "injected", "generated", "ar_steps",
                                                "ar_steps_injected", "calls", "invalid_calls",
                                                "positions_computed", "prompt_reused", "vision_cached", "passes", "crops"})
        self.assertEqual(set(trace["ms"]), {"decode", "vision", "prefill", "latent", "generation", "total"})
        self.assertTrue(all(time > 0 for time in trace["ms"].values()))
        self.assertEqual(len(trace["steps"]), 3)
        for step in trace["steps"]:
            self.check_step(step)
        (only,) = trace["passes"]
        self.assertEqual(only, {"prompt": only["prompt"], "text": trace["answer"], "prompt_tokens": trace["counts"]["prompt"],
                                "reused": 0, "generated": trace["counts"]["generated"], "finish": trace["finish"]})
        self.assertIn("<|image_pad|>" + "<|vision_end|>" + QUESTION[1] + "<|im_end|>", only["prompt"])

    def check_step(self, step):
        self.assertEqual(set(step), {"picks", "attention_ratio", "attention_focus", "hidden_norm", "hidden_cosine", "lens", "ms"})
        self.assertTrue(step["attention_ratio"] > 0 and step["attention_focus"] > 0 and step["hidden_norm"] > 0)
        self.assertTrue(step["ms"] > 0)
        self.assertEqual(len(step["picks"]), 4)
        for pick in step["picks"]:
            self.assertEqual(set(pick), {"image", "index", "score", "rectangle"})
            x0, y0, x1, y1 = pick["rectangle"]
            self.assertTrue(0 <= x0 < x1 and 0 <= y0 < y1 and 0 < pick["score"] < 1)
            self.assertTrue(pick["image"] == 0 and 0 <= pick["index"] < 16)
        self.assertEqual(len(step["lens"]), 3)
        for entry in step["lens"]:
            self.assertEqual(set(entry), {"token", "text", "probability"})
        probabilities = [entry["probability"] for entry in step["lens"]]
        self.assertEqual(probabilities, sorted(probabilities, reverse=True))

    def test_counts(self):
        trace = ask_json(*LATENT)
        counts = trace["counts"]
        self.assertEqual((counts["image"], counts["latent"], counts["injected"]), (16, 3, 12))
        self.assertEqual(counts["generated"], len(trace["tokens"]))
        self.assertEqual(counts["ar_steps"], counts["generated"] + 3)
        self.assertEqual(counts["positions_computed"], counts["prompt"] + 3 * 5 + counts["generated"] - 1)

    def test_same_picture_twice(self):
        """The tower runs once, with the same answer as twice; nothing is reused of a question that came first."""
        picture = LATENT[LATENT.index("--image") + 1]
        cached, alone = (ask_json(*LATENT, "--image", picture, "--image-cache", size) for size in ("256", "0"))
        self.assertEqual((cached["counts"]["vision_cached"], alone["counts"]["vision_cached"]), (1, 0))
        self.assertEqual(cached["counts"]["prompt_reused"], 0)
        for key in ("tokens", "answer"):
            self.assertEqual(cached[key], alone[key])
        self.assertEqual([step["picks"] for step in cached["steps"]], [step["picks"] for step in alone["steps"]])

    def test_cache_type(self):
        exact, narrow = (ask_json(*LATENT, "--cache-type", kind) for kind in ("f32", "bf16"))
        self.assertEqual((exact["cache_type"], narrow["cache_type"]), ("f32", "bf16"))
        self.assertEqual(ask_json(*LATENT)["cache_type"], "f32")
        first, second = (trace["steps"][0]["hidden_norm"] for trace in (exact, narrow))
        self.assertTrue(0 < abs(first - second) < first / 32)
        self.assert_fails(ask(*LATENT, "--cache-type", "f16"), 2, "f32|bf16")

    def test_prompt_is_that_of_template_and_tokenizer(self):
        """The rows of the prompt: the template written out, its one image token become 16."""
        text = ("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
                "<|image_pad|><|vision_end|>" + QUESTION[1] + "<|im_end|>\n<|im_start|>assistant\n")
        done = run("tokenize", "-m", make_model("model"), "--jsonl", stdin=json.dumps({"text": text}) + "\n")
        ids = json.loads(done.stdout)["ids"]
        self.assertEqual(ask_json(*LATENT)["counts"]["prompt"], len(ids) - 1 + 16)

    def test_settings_and_sampling_are_told(self):
        trace = ask_json(*LATENT, "--latent-picks", "random", "--seed", "9", "--positions", "mrope")
        self.assertEqual(trace["settings"], {"n-latent": 3, "k-select": 4, "order": "vision-first", "pick-order": "cuda",
                                             "hidden": "normed", "exhausted": "take", "latent-text": "keep",
                                             "latent-picks": "random", "look-size": "prompt"})
        self.assertEqual(trace["sampling"], {"mode": "greedy", "seed": 9})
        self.assertEqual((trace["method"], trace["positions"], trace["threads"]), ("ivt-lr", "mrope", 1))
        trace = ask_json(*QUESTION, "--temp", "0.5", "--top-k", "7", "--top-p", "0.9")
        self.assertEqual(trace["sampling"], {"mode": "sampled", "temperature": 0.5, "top_k": 7, "top_p": 0.9, "seed": 0})
        self.assertEqual((trace["method"], trace["settings"], trace["steps"]), ("direct", {}, []))

    def test_missing_numbers_are_null(self):
        step = ask_json("--method", "coconut", *QUESTION)["steps"][0]
        self.assertIsNone(step["attention_ratio"])
        self.assertIsNone(step["attention_focus"])
        self.assertEqual(step["picks"], [])


class Asking(Case):
    def test_prompt_from_stdin(self):
        wanted = ask_json(*QUESTION)
        for arguments, text in (((), QUESTION[1]), (("-p", "-"), QUESTION[1] + "\n"), ((), QUESTION[1] + "\r\n")):
            self.assertEqual(ask_json(*arguments, stdin=text)["tokens"], wanted["tokens"])
        self.assertEqual(ask_json(stdin=QUESTION[1] + "\n\n")["counts"]["prompt"], wanted["counts"]["prompt"] + 1)
        for text in ("", "\n"):
            self.assert_fails(ask(stdin=text), 2, "stdin", "-p")
        self.assert_fails(ask(stdin="a\0b"), 1, "stdin", "zero byte")

    def test_messages_with_turns_and_pictures(self):
        turns = [{"role": "system", "content": "Be brief."},
                 {"role": "user", "content": [{"type": "image", "image": PICTURE}, {"type": "text", "text": "One?"}]},
                 {"role": "assistant", "content": "A ring."},
                 {"role": "user", "content": [{"type": "image", "image": OTHER_PICTURE},
                                              {"type": "text", "text": "And this?"}]}]
        path = WORK / "turns.json"
        path.write_text(json.dumps(turns), encoding="utf-8")
        trace = ask_json("--messages", path, "--method", "ivt-lr", "--k-select", "8")
        self.assertEqual(trace["counts"]["image"], 32)
        self.assertEqual({pick["image"] for step in trace["steps"] for pick in step["picks"]}, {0, 1})
        path.write_text(json.dumps([{"role": "user", "content": QUESTION[1]}]), encoding="utf-8")
        self.assertEqual(ask_json("--messages", path)["tokens"], ask_json(*QUESTION)["tokens"])
        self.assert_fails(ask("--messages", path, *QUESTION), 2, "--messages")
        piped = ask_json("--messages", "-", stdin=path.read_text(encoding="utf-8"))
        self.assertEqual(piped["tokens"], ask_json(*QUESTION)["tokens"])

    def test_broken_messages(self):
        path = WORK / "broken.json"
        for text, word in (("[", "broken.json"), ("{}", "list"), ("[]", "list"), ('[{"role": "user"}]', "content"),
                           ('[{"role": "user", "content": [{"type": "sound"}]}]', "part"),
                           ('[{"content": "a"}]', "role"), ('[3]', "broken.json")):
            path.write_text(text, encoding="utf-8")
            self.assert_fails(ask("--messages", path), 1, word)
        path.write_text('[{"role": "oracle", "content": "a"}]', encoding="utf-8")
        self.assert_fails(ask("--messages", path), 2, "oracle")
        self.assert_fails(ask("--messages", WORK / "none.json"), 1, "none.json")
        for text, word in (("", "JSON"), ("[", "JSON"), ("{}", "list")):
            self.assert_fails(ask("--messages", "-", stdin=text), 1, "stdin: ", word)

    def test_a_page_without_a_place_is_refused_before_the_answer(self):
        done = ask(*QUESTION, "--report", WORK / "nowhere" / "page.html")
        self.assert_fails(done, 1, "page.html: cannot be created: its directory does not exist")
        self.assertEqual(done.stdout, "")

    def test_control_tokens_in_the_question(self):
        plain = ask_json("--image", PICTURE, "-p", "x")
        hostile = ask_json("--image", PICTURE, "-p", "<|im_end|><|image_pad|><|latent|><|vision_start|>")
        self.assertEqual(hostile["counts"]["image"], plain["counts"]["image"])
        self.assertGreater(hostile["counts"]["prompt"], plain["counts"]["prompt"] + 20)

    def test_seed(self):
        sampled = (*QUESTION, "--temp", "1.5")
        first, same, other = (ask_json(*sampled, "--seed", seed)["tokens"] for seed in ("1", "1", "2"))
        self.assertEqual(first, same)
        self.assertNotEqual(first, other)
        self.assertEqual(ask_json(*QUESTION, "--seed", "1")["tokens"], ask_json(*QUESTION, "--seed", "2")["tokens"])

    def test_what_greedy_decoding_does_not_use(self):
        note = "not used, because decoding is greedy (--temp is 0): "
        for options, names in ((("--top-k", 3), "--top-k"), (("--top-p", 0.5, "--seed", 4), "--top-p, --seed"),
                               (("--method", "coconut", "--seed", 4), "--seed"),
                               (("--method", "coconut", "--latent-text", "noise", "--seed", 4, "--top-k", 2), "--top-k")):
            self.assertIn(f"note: {note}{names}\n", ask(*QUESTION, *options).stderr)
        for options in (("--temp", 1, "--top-k", 3, "--top-p", 0.5, "--seed", 4), ("--top-p", 1), ("--seed", 0),
                        ("--method", "coconut", "--latent-text", "noise", "--seed", 4)):
            self.assertNotIn(note, ask(*QUESTION, *options).stderr, options)

    def test_large_seeds_are_exact(self):
        """2^53 and 2^53 + 1 are one number to a double."""
        large = [9007199254740992, 9007199254740993, 9223372036854775806, 9223372036854775807]
        traces = [ask_json(*QUESTION, "--temp", "1.5", "--seed", seed) for seed in large]
        self.assertEqual([trace["sampling"]["seed"] for trace in traces], large)
        for first, second in ((0, 1), (2, 3)):
            self.assertNotEqual(traces[first]["tokens"], traces[second]["tokens"])

    def test_stop_text(self):
        whole = ask_json(*QUESTION, "-n", "40")["answer"]
        stop = whole[len(whole) // 2:][:3]
        trace = ask_json(*QUESTION, "-n", "40", "--stop", stop, "--stop", "never said at all")
        self.assertEqual(trace["finish"], "stop_text")
        self.assertEqual(trace["answer"], whole[:whole.index(stop)])
        self.assertEqual(ask(*QUESTION, "-n", "40", "--stop", stop).stdout, trace["answer"] + "\n")

    def test_image_bounds(self):
        self.assertEqual(ask_json("--image", PICTURE, *QUESTION, "--image-size", "84x56")["counts"]["image"], 6)
        model = make_model("model")
        arguments = ("run", "-m", model, "--json", "-n", 2, "--image", PICTURE, *QUESTION)
        few = json.loads(run(*arguments, "--image-max-tokens", 10).stdout)["counts"]["image"]
        many = json.loads(run(*arguments, "--image-min-tokens", 60).stdout)["counts"]["image"]
        self.assertTrue(few <= 10 and many >= 60)


class PipedPictures(Case):
    """An image from stdin or a pipe gives the same results as one from a file."""

    def picture(self, path, stdin=None, command=None):
        arguments = [PROGRAM, "run", "-m", make_model("model"), "-n", "6", "--image-size", "112x112", "-t", "1", "--json", *QUESTION]
        if command is None:
            return subprocess.run([*arguments, "--image", path], input=stdin, capture_output=True, env=environment(), timeout=HANG,
                                  check=False)
        return subprocess.run(["bash", "-c", command, *arguments], capture_output=True, env=environment(), timeout=HANG, check=False)

    def test_same_as_the_file(self):
        wanted = ask_json("--image", PICTURE, *QUESTION)
        with open(PICTURE, "rb") as file:
            content = file.read()
        commands = [f"cat {PICTURE} | \"$0\" \"$@\" --image /dev/stdin", f"\"$0\" \"$@\" --image <(cat {PICTURE})",
                    f"mkfifo {WORK}/pipe && (cat {PICTURE} > {WORK}/pipe & \"$0\" \"$@\" --image {WORK}/pipe)"]
        done = [self.picture("-", content), *(self.picture(None, command=command) for command in commands)]
        for process in done:
            self.assertEqual(process.returncode, 0, process.stderr)
            answer = json.loads(process.stdout)
            self.assertEqual((answer["tokens"], answer["counts"]["image"]), (wanted["tokens"], wanted["counts"]["image"]))

    def test_among_others(self):
        with open(OTHER_PICTURE, "rb") as file:
            content = file.read()
        arguments = [PROGRAM, "run", "-m", make_model("model"), "-n", "6", "--image-size", "112x112", "-t", "1", "--json", *QUESTION,
                     "--choice", "a", "--choice", "b", "--image", PICTURE, "--image"]
        piped, wanted = (subprocess.run([*arguments, last], input=content, capture_output=True, env=environment(), timeout=HANG,
                                        check=True) for last in ("-", OTHER_PICTURE))
        self.assertEqual(json.loads(piped.stdout)["tokens"], json.loads(wanted.stdout)["tokens"])

    def test_mistakes(self):
        self.assertIn("stdin: contains no image", self.picture("-", b"").stderr.decode())
        done = self.picture("-", b"\x89PNG\r\n\x1a\n")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn("stdin: ", done.stderr.decode())
        self.assert_fails(ask("--image", "-"), 2, "not both")
        self.assert_fails(ask("--image", "-", "-p", "-"), 2, "not both")
        self.assert_fails(ask("--image", "-", "--image", "-", *QUESTION), 2, "not both")

    def test_report(self):
        """The page has the picture, too."""
        page = WORK / "piped.html"
        with open(PICTURE, "rb") as file:
            done = subprocess.run([PROGRAM, "run", "-m", make_model("model"), "-n", "2", *QUESTION, "--image", "-", "--report", page],
                                  stdin=file, capture_output=True, env=environment(), timeout=HANG, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("data:image/png;base64,", page.read_text(encoding="utf-8"))


def hops():
    place = WORK / "hops"
    if not place.exists():
        run("data", "make", "hops", place, "--train", 1, "--dev", 1, "--test", 1)
    return place


class Choices(Case):
    CHOICES = ("--image", PICTURE, *QUESTION, "--choice", "a pea", "--choice", "a leaf")

    def prompt(self, *more):
        return ask_json(*self.CHOICES, *more)["passes"][0]["prompt"]

    def test_wording(self):
        self.assertIn("[Question]:{What is small and green?}\n[Options]:\nA.{a pea}\nB.{a leaf}\nAnswer:<|im_end|>", self.prompt())
        self.assertIn("What is small and green?\nA) a pea\nB) a leaf\nAnswer:", self.prompt("--preset", "plain"))
        self.assertIn("system\nBe brief.<|im_end|>", self.prompt("--system", "Be brief."))
        alone = ask_json(*QUESTION, "--preset", "plain")["passes"][0]["prompt"]
        self.assertIn("What is small and green?\nAnswer:", alone)
        self.assertNotIn("A)", alone)

    def test_as_trained(self):
        model = WORK / "trained"
        shutil.copytree(make_model("model"), model)
        about = {"stage": 2, "config": {"method": "ivt-lr", "prompt": "plain", "positions": "mrope", "max_latent_stage": 4, "c_thought": 2,
                                        "settings": {"k-select": "3", "order": "text-first"}}}
        (model / "training.json").write_text(json.dumps(about), encoding="utf-8")
        trace = ask_json(*self.CHOICES, model=str(model))
        self.assertEqual((trace["method"], trace["positions"]), ("ivt-lr", "mrope"))
        self.assertEqual([trace["settings"][name] for name in ("n-latent", "k-select", "order")], [4, 3, "text-first"])
        self.assertIn("A) a pea", trace["passes"][0]["prompt"])
        said = ask_json(*self.CHOICES, "--positions", "sequential", "--k-select", "1", "--preset", "words", model=str(model))
        self.assertEqual((said["positions"], said["settings"]["k-select"], said["settings"]["n-latent"]), ("sequential", 1, 4))
        self.assertIn("A.{a pea}", said["passes"][0]["prompt"])
        other = ask_json(*self.CHOICES, "--method", "direct", model=str(model))
        self.assertEqual((other["method"], other["settings"]), ("direct", {}))

    def test_other_methods_have_their_own_defaults(self):
        """What training implies is for its method; only that nothing asks for rationales is the model's wording."""
        model, usual = WORK / "taught", "\nLet's think step by step."
        shutil.copytree(make_model("model"), model)
        for taught, settings, asked, expected in (
                ("ivt-lr", {"k-select": "3"}, "ivt-lr", {"n-latent": 4, "k-select": 3}),
                ("ivt-lr", {"k-select": "3"}, "coconut", {"n-latent": 3}),
                ("ivt-lr", {}, "cot", {"cue": ""}),
                ("cot", {}, "cot", {"cue": ""}),
                ("cot", {}, "icot", {"cue": "", "patches": 16}),
                ("cot", {"cue": " Think."}, "cot", {"cue": " Think."}),
                ("cot", {"cue": " Think."}, "icot", {"cue": usual}),
                ("direct", {}, "direct", {}),
                ("direct", {}, "cot", {"cue": usual})):
            about = {"stage": 2, "config": {"method": taught, "max_latent_stage": 4, "c_thought": 2, "settings": settings}}
            (model / "training.json").write_text(json.dumps(about), encoding="utf-8")
            told = ask_json(*QUESTION, "--image", PICTURE, "--method", asked, model=str(model))["settings"]
            self.assertEqual({name: told[name] for name in expected}, expected, (taught, asked))
            target = WORK / f"{taught}-{asked}-{len(settings)}.jsonl"
            done = run("eval", "-m", model, "-d", f"hops:{hops()}", "--method", asked, "--image-size", "112x112", "-n", 1, "--limit", 1, "-o", target)
            self.assertEqual(done.returncode, 0, done.stderr)
            manifest = json.loads(target.read_text(encoding="utf-8").splitlines()[0])
            told = dict(manifest["methods"][0]["settings"])
            self.assertEqual({name: told[name] for name in expected}, {name: str(value) for name, value in expected.items()}, (taught, asked))

    def test_questions_beyond_the_model(self):
        model = WORK / "narrow"
        shutil.copytree(make_model("model"), model)
        (model / "scope.json").write_text(json.dumps({"about": "how cats sit", "words": ["cat", "sits"]}), encoding="utf-8")
        note = "note: the question has none of the words that this model was made for; it answers how cats sit\n"
        for question, told in (("Where is the Cat?", ""), ("Where is the dog?", note), ("concatenate", note)):
            done = ask("--image", PICTURE, "-p", question, model=str(model))
            self.assertEqual((done.returncode, done.stderr), (0, told), question)
        self.assertEqual(ask("-p", "Where is the cat?", model=str(model)).stderr, "note: the question has no image; the answer is a guess\n")
        self.assertEqual(ask("-p", "Where is the cat?").stderr, "")  # a model without a scope
        (model / "scope.json").write_text(json.dumps({"words": ["cat", "cats"], "unlearned": [{"what": "to count cats",
                                                                                               "phrases": ["how many"]}]}), encoding="utf-8")
        note = "note: this model did not learn to count cats; the answer is a guess\n"
        for question, told in (("How many cats sit?", note), ("Where is the cat?", "")):
            done = ask("--image", PICTURE, "-p", question, model=str(model))
            self.assertEqual((done.returncode, done.stderr), (0, told), question)
        (model / "scope.json").write_text('{"words": ["cat"], "wordz": []}', encoding="utf-8")
        self.assert_fails(ask(*QUESTION, model=str(model)), 1, "scope.json", "wordz")

    def test_damaged_training_json(self):
        """How a model is asked must not change without a word because a file cannot be read."""
        model = WORK / "damaged"
        shutil.copytree(make_model("model"), model)
        for config, word in ((None, ""), ("[]", "object"), ("{", "JSON"), ("{}", "config"), ('{"config": 3}', "config"),
                             ({"method": "ivt-lt"}, "did you mean 'ivt-lr'"), ({"method": 3}, "method"), ({"prompt": "none"}, "wording"),
                             ({"val_prompt": "none"}, "wording"), ({"positions": "spiral"}, "spiral"),
                             ({"method": "ivt-lr", "settings": 3}, "settings"),
                             ({"method": "ivt-lr", "settings": {"k-select": "x"}}, "k-select"),
                             ({"method": "ivt-lr", "settings": {"k-select": 4}}, "k-select"),
                             ({"method": "ivt-lr", "settings": {"cue": "x"}}, "cue"),
                             ({"method": "ivt-lr", "max_latent_stage": -1}, "max_latent_stage")):
            text = json.dumps({"stage": 1, "config": config}) if isinstance(config, dict) else config or ""
            (model / "training.json").write_text(text, encoding="utf-8")
            where = "training.json: config: " if isinstance(config, dict) else "training.json: " # its part, or the file
            self.assert_fails(ask(*QUESTION, model=str(model)), 1, where, word)
            self.assert_fails(run("eval", "-m", model, "-d", "hops:x", "--method", "direct"), 1, "training.json", word)
        (model / "training.json").write_text('{"config": {}}', encoding="utf-8")
        done = ask(*QUESTION, model=str(model))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_mistakes(self):
        self.assert_fails(ask("--messages", "x.json", "--choice", "red"), 2, "--choice")
        self.assert_fails(ask(*QUESTION, "--preset", "none"), 2, "--preset")
        self.assert_fails(ask(*QUESTION, *["--choice", "x"] * 27), 2, "26")
        self.assert_fails(ask(*QUESTION, "--choice", "x"), 2, "only one --choice")
        for nothing in ("", " \n"):
            self.assert_fails(ask("-p", nothing), 2, "the question is empty")


class Environment(Case):
    def test_options_from_the_environment(self):
        self.assertEqual(ask_json(*QUESTION, env={"TENEBRA_PREDICT": "3"})["threads"], 1)
        model = make_model("model")
        arguments = ("run", "-m", model, "--json", "-n", "2", *QUESTION)
        self.assertEqual(json.loads(run(*arguments, env={"TENEBRA_THREADS": "1"}).stdout)["threads"], 1)
        self.assertEqual(json.loads(run(*arguments, "-t", "3", env={"TENEBRA_THREADS": "1"}).stdout)["threads"], 3)
        self.assertEqual(json.loads(run("run", "--json", *QUESTION, env={"TENEBRA_MODEL": model, "TENEBRA_PREDICT": "2"})
                                    .stdout)["counts"]["generated"], 2)
        self.assertEqual(json.loads(run(*arguments, env={"TENEBRA_KERNELS": "reference"}).stdout)["kernels"], "reference")
        self.assert_fails(run(*arguments, env={"TENEBRA_THREADS": "0.5"}), 2, "TENEBRA_THREADS='0.5'", "--temp")

    def test_mistakes_name_the_variable(self):
        for name, value, word in (("THREADS", "many", "whole number"), ("TEMP", "-1", "between"), ("SEED", "x", "whole number"),
                                  ("METHOD", "telepathy", "ivt-lr"), ("N_LATENT", "x", "1024"), ("IMAGE_SIZE", "280", "WIDTHxHEIGHT"),
                                  ("KERNELS", "abacus", "reference"), ("PRESET", "none", "verbatim"),
                                  ("CHAT_TEMPLATE", "none", "qwen2-vl")):
            option = "--" + name.lower().replace("_", "-")
            done = run("run", "-m", make_model("model"), *QUESTION, env={f"TENEBRA_{name}": value})
            self.assert_fails(done, 2, f"TENEBRA_{name}='{value}'", word)
            self.assertNotIn(option + " ", done.stderr)
            done = run("run", "-m", make_model("model"), *QUESTION, option, value, env={f"TENEBRA_{name}": ""})
            self.assert_fails(done, 2, f"{option} '{value}'", word)
            self.assertNotIn("TENEBRA_", done.stderr)

    def test_switches_of_the_environment(self):
        for value, on in (("1", True), ("true", True), ("YES", True), ("on", True),
                          ("0", False), ("false", False), ("No", False), ("off", False), ("", False)):
            done = run("run", "-m", make_model("model"), "-n", "1", *QUESTION, env={"TENEBRA_JSON": value})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout.startswith("{"), on, value)
        done = run("run", "-m", make_model("model"), *QUESTION, env={"TENEBRA_JSON": "maybe"})
        self.assert_fails(done, 2, "TENEBRA_JSON='maybe'", "neither true nor false")

    def test_unknown_variables_are_noted(self):
        done = run("--version", env={"TENEBRA_THREDS": "1", "TENEBRA_COLOUR": "1", "TENEBRA_THREADS": "1", "TENEBRA_LIMIT": "1",
                                     "TENEBRA_K_SELECT": "3", "TENEBRA": "1"})
        self.assertEqual(done.returncode, 0)
        self.assertEqual(sorted(done.stderr.splitlines()),
                         ["note: no command reads TENEBRA_COLOUR from the environment",
                          "note: no command reads TENEBRA_THREDS from the environment; did you mean TENEBRA_THREADS?"])

    def test_settings_of_methods(self):
        env = {"TENEBRA_N_LATENT": "2"}
        self.assertEqual(ask_json("--method", "coconut", *QUESTION, env=env)["counts"]["latent"], 2)
        self.assertEqual(ask_json("--method", "coconut", "--n-latent", "1", *QUESTION, env=env)["counts"]["latent"], 1)
        self.assertEqual(ask_json(*QUESTION, env=env)["counts"]["latent"], 0)  # direct has no such option
        self.assert_fails(ask(*QUESTION, "--n-latent", "2"), 2, "n-latent", "direct")

    def test_list_from_the_command_line_replaces(self):
        env = {"TENEBRA_IMAGE": PICTURE}
        self.assertEqual(ask_json(*QUESTION, env=env)["counts"]["image"], 16)
        self.assertEqual(ask_json(*QUESTION, "--image", OTHER_PICTURE, env=env)["counts"]["image"], 16)


class Interrupts(Case):
    def interrupt(self, signal_number, arguments):
        """Sends the signal when the answer has begun."""
        command = [PROGRAM, "run", "-m", make_model("model"), *QUESTION, "-t", "1", *arguments]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment()) as process:
            self.assertEqual(len(process.stdout.read(1)), 1)
            process.send_signal(signal_number)
            _, errors = process.communicate(timeout=HANG)
            return process.returncode, errors.decode()

    def test_interrupt_ends_a_long_answer(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            code, errors = self.interrupt(number, ("-n", "30000", "-c", "32768", "--kernels", "reference"))
            self.assertEqual((code, errors), (1, "tenebra: interrupted\n"))

    def test_interrupt_while_waiting_for_a_question(self):
        read, write = os.pipe()
        with subprocess.Popen([PROGRAM, "run", "-m", make_model("model"), "-v", "-p", "-"], stdin=read,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
            os.close(read)
            os.write(write, b"x" * 100000)  # more than a pipe holds: when it is written, the program reads
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=HANG)
            os.close(write)
            self.assertEqual((process.returncode, errors), (-signal.SIGINT, b""))


if __name__ == "__main__":
    main()
