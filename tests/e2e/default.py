"""The model that comes with the program: found without -m, asked as it was trained, and answering as written down.

    default.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import DATA, PROGRAM, WORK, Case, environment, main, run  # noqa: E402

FOLDER = DATA / "default"
CASES = json.loads((FOLDER / "transcripts.json").read_text(encoding="utf-8"))
HOPS = WORK / "hops"
DEFAULT = os.path.join(os.path.dirname(os.path.abspath(PROGRAM)), "share/tenebra/models/default")


def ask(case, *more):
    choices = [word for choice in case["choices"] for word in ("--choice", choice)]
    done = run("run", "--image", FOLDER / case["picture"], "-p", case["question"], *choices, "--json", *more)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def hops():
    if not HOPS.exists():
        run("data", "make", "hops", HOPS, "--families", "arrows", "--train", 0, "--dev", 0, "--test", 120, "--seed", 91)
    return f"hops:{HOPS}"


def answers(name, *more):
    """Records of 120 questions, by number."""
    done = run("eval", "-d", hops(), "-n", 12, "-w", 2, "-o", WORK / f"{name}.jsonl", "--json", *more)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    rows = [json.loads(line) for line in (WORK / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    return sorted(rows, key=lambda row: row["n"])


def accuracy(name, *more):
    """Of the 120 questions in the only wording that the first model was trained on."""
    rows = answers(name, *more)
    return sum(row["correct"] for row in rows) / len(rows)


def quantised(kind):
    model = WORK / kind
    if not model.exists():
        done = run("quantize", DEFAULT, "-o", model, "--type", kind)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
    return model


def trained_adapter(model):
    """One update of an adapter on top of `model`: its loss, and the values of every B, of which Adam's first step leaves the sign."""
    name, data = WORK / f"adapter-of-{os.path.basename(model)}", WORK / "examples"
    if not data.exists():
        # questions that it does not answer, so that there is something to learn
        run("data", "make", "hops", data, "--families", "nearest", "--train", 16, "--dev", 0, "--test", 0, "--seed", 5)
    settings = ("method=ivt-lr", "prompt=brief", "positions=sequential", "lora_rank=8", "lora_dropout=0", "max_updates=1", "num_epochs=1",
                "batch_size=16", "gradient_accumulation_steps=1", "epochs_per_stage=1", "step_groups=0", "validate=false", "lr=1e-4")
    done = run("train", "-m", model, "-d", f"hops:{data}", "-o", name, *(word for key in settings for word in ("--set", key)))
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    file = (name / "adapter/adapter_model.safetensors").read_bytes()
    length = int.from_bytes(file[:8], "little")
    spans = [8 + length + at for key, tensor in sorted(json.loads(file[8:8 + length]).items()) if "lora_B" in key
             for at in tensor["data_offsets"]]
    values = [value for begin, end in zip(spans[::2], spans[1::2]) for value in struct.unpack(f"<{(end - begin) // 4}f", file[begin:end])]
    return json.loads((name / "log.jsonl").read_text(encoding="utf-8").splitlines()[0])["loss"], values


class Transcripts(Case):
    def test_every_method_answers_as_written_down(self):
        for case in CASES:
            for method, text in case["answers"].items():
                with self.subTest(picture=case["picture"], method=method):
                    trace = ask(case, "--method", method, "-n", 32, "--kernels", "reference")
                    self.assertEqual(trace["answer"], text)

    def test_another_picture_changes_answers(self):
        """Or the transcripts would say nothing about seeing."""
        for method in ("cot", "ivt-lr"):
            changed = [ask({**case, "picture": CASES[i - 1]["picture"]}, "--method", method)["answer"].strip() != case["right"]
                       for i, case in enumerate(CASES)]
            self.assertGreaterEqual(sum(changed), 3, method)


def read_png(path):
    """Width, height, and rows of an RGB image of 8 bits that is not interlaced."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    raw, rows, above = zlib.decompress(packed), [], bytes(3 * width)
    for y in range(height):
        kind, line = raw[y * (3 * width + 1)], bytearray(raw[y * (3 * width + 1) + 1:(y + 1) * (3 * width + 1)])
        for x in range(3 * width):
            left, corner = (line[x - 3], above[x - 3]) if x >= 3 else (0, 0)
            guess = sorted((left, above[x], corner), key=lambda value: abs(left + above[x] - corner - value))[0]
            line[x] = (line[x] + (0, left, above[x], (left + above[x]) // 2, guess)[kind]) % 256
        rows.append(bytes(line))
        above = line
    return width, height, rows


def framed(picture, left, top, colour):
    """The image in a frame with the same width left and right, and the same at top and bottom."""
    width, height, rows = read_png(FOLDER / picture)
    line, side = bytes(colour) * (width + 2 * left), bytes(colour) * left
    pixels = [line] * top + [side + row + side for row in rows] + [line] * top
    path = WORK / f"framed-{left}-{top}-{picture}"
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width + 2 * left, height + 2 * top, 8, 2, 0, 0, 0)),
              (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in pixels))), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(body)) + kind + body +
                                                     struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks))
    return path


def right_as_people_ask(name, wordings, *more):
    """Answers that are right to the letter, of 120 chains asked in many ways."""
    place = WORK / f"asked-{wordings}"
    if not place.exists():
        run("data", "make", "hops", place, "--families", "arrows", "--brief", "--wordings", wordings,
            "--train", 0, "--dev", 0, "--test", 120, "--seed", 93)
    done = run("eval", "-d", f"hops:{place}", "--preset", "verbatim", "-n", 12, "-w", 2,
               "-o", WORK / f"asked-{name}.jsonl", "--json", *more)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    rows = {row["id"]: row for row in map(json.loads, (place / "data/test.jsonl").read_text(encoding="utf-8").splitlines())}
    said = [json.loads(line) for line in (WORK / f"asked-{name}.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    return sum(row["text"].strip() == rows[row["id"]]["choices"]["ABCDEF".index(rows[row["id"]]["answer"])] for row in said) / len(said)


class People(Case):
    """Questions as people type them (docs/default-model.md has the numbers)."""

    def test_without_choices(self):
        for case in CASES:
            done = run("run", "--image", FOLDER / case["picture"], "-p", case["question"])
            self.assertEqual(done.stdout.strip(), case["right"])
            self.assertNotIn("none of the words", done.stderr)

    def test_in_capitals(self):
        for case in CASES:
            done = run("run", "--image", FOLDER / case["picture"], "-p", case["question"].upper())
            self.assertEqual(done.stdout.strip(), case["right"])

    def test_frames_are_taken_away(self):
        """The same answers, and picks at their places in the complete image; a model that sees the frame gives other
        answers."""
        blind = WORK / "frames"
        shutil.copytree(DEFAULT, blind)
        settings = json.loads((blind / "preprocessor_config.json").read_text(encoding="utf-8"))
        self.assertTrue(settings.pop("trim_frame"))
        (blind / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
        changed = 0
        for case, left, top, colour in zip(CASES, (12, 12, 4, 20, 0, 9), (12, 20, 4, 3, 16, 7), ((255, 255, 255), (0, 0, 0), (128, 128, 128)) * 2):
            picture = framed(case["picture"], left, top, colour)
            trace, plain = ask({**case, "picture": picture}, "--scores"), ask(case, "--scores")
            self.assertEqual(trace["answer"], plain["answer"])
            for step, other in zip(trace["steps"], plain["steps"]):
                self.assertEqual([[pick["rectangle"][0] - left, pick["rectangle"][1] - top] for pick in step["picks"]],
                                 [pick["rectangle"][:2] for pick in other["picks"]])
            image, whole = trace["pictures"][0], plain["pictures"][0]
            self.assertEqual([image[key] for key in ("x", "y", "width", "height")], [left, top, whole["width"], whole["height"]])
            self.assertEqual([whole["x"], whole["y"]], [0, 0])
            changed += ask({**case, "picture": picture}, "-m", blind)["answer"] != plain["answer"]
        self.assertGreaterEqual(changed, 3)

    def test_maps_lie_over_what_was_read(self):
        """In a report a map covers the part inside of the frame."""
        path = WORK / "framed.html"
        done = run("run", "--image", framed(CASES[0]["picture"], 12, 20, (0, 0, 0)), "-p", CASES[0]["question"], "--report", path, "--force")
        self.assertEqual(done.returncode, 0, done.stderr)
        whole = ask(CASES[0], "--scores")["pictures"][0]
        self.assertIn(f'"grids":[[4,4,12,20,{whole["width"]},{whole["height"]}]]', path.read_text(encoding="utf-8").replace(" ", ""))

    def test_wordings_of_training(self):
        self.assertGreaterEqual(right_as_people_ask("seen", "seen"), 0.97)

    def test_wordings_that_training_had_not(self):
        self.assertGreaterEqual(right_as_people_ask("unseen", "unseen"), 0.9)

    def test_without_its_latents_it_guesses(self):
        self.assertLess(right_as_people_ask("blind", "seen", "--latent-text", "noise"), 0.4)

    def test_what_it_does_not_know_it_says(self):
        done = run("run", "--image", FOLDER / CASES[0]["picture"], "-p", "What is the dog doing?")
        self.assertIn("note: the question has none of the words that this model was made for; it answers where arrows lead", done.stderr)

    def test_what_it_did_not_learn_it_says(self):
        for question, what in (("How many red objects are there?", "to count objects"), ("IS THERE A BLUE STAR?", "to say whether there is an object"),
                               ("Which colour is the star?", "to find an object only by its shape"),
                               ("Red circle, 3 arrows, colour?", None), ("Which way does the red star point?", None), ("What shape is the blue object?", None)):
            done = run("run", "--image", FOLDER / CASES[0]["picture"], "-p", question)
            self.assertEqual(done.returncode, 0, done.stderr)
            if what is None:
                self.assertNotIn("did not learn", done.stderr)
            else:
                self.assertIn(f"note: this model did not learn {what}", done.stderr)

    def test_it_says_so_for_each_line(self):
        questions = ("What is the dog doing?", "Which shape is the red object?", "How many red objects are there?")
        lines = "".join(json.dumps({"prompt": question, "images": [str(FOLDER / CASES[0]["picture"])]}) + "\n" for question in questions)
        done = run("run", "--jsonl", stdin=lines)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("note: line 1: the question has none of the words", done.stderr)
        self.assertNotIn("line 2", done.stderr)
        self.assertIn("note: line 3: this model did not learn to count objects", done.stderr)

    def test_the_size_is_told_where_pictures_have_another(self):
        question = ("-p", CASES[0]["question"])
        self.assertNotIn("images are resized", run("run", "--image", FOLDER / CASES[0]["picture"], *question).stderr)
        larger = framed(CASES[0]["picture"], 12, 12, (0, 0, 0))
        self.assertIn("images are resized to 112x112", run("run", "--image", larger, *question).stderr)
        self.assertNotIn("images are resized", run("run", "--image", larger, *question, "--image-size", "112x112").stderr)
        done = run("eval", "-d", hops(), "-n", 12, "--limit", 2, "-o", WORK / "sizes.jsonl")
        self.assertNotIn("images are resized", done.stderr)


class Model(Case):
    def test_it_is_asked_as_it_was_trained(self):
        trace = ask(CASES[0])
        self.assertEqual((trace["method"], trace["positions"]), ("ivt-lr", "sequential"))
        self.assertEqual(trace["settings"]["k-select"], 4)
        self.assertEqual(len(trace["steps"]), 6)
        self.assertEqual(len(ask(CASES[0], "--n-latent", 2)["steps"]), 2)
        self.assertEqual(ask(CASES[0], "--method", "direct")["method"], "direct")
        self.assertEqual(ask(CASES[0], "--positions", "mrope")["positions"], "mrope")

    def test_answers_are_right(self):
        for case in CASES:
            self.assertEqual(ask(case)["answer"].strip(), case["right"])

    def test_chains_in_words_are_right(self):
        for case in CASES:
            said = ask(case, "--method", "cot", "-n", 12)["answer"].split()
            hops_made = int(case["picture"].split("-")[1].split(".")[0])
            self.assertEqual(said[hops_made:], [case["right"]] * (7 - hops_made))

    def test_latents_say_the_way(self):
        """What the head reads from the latents are the words of the chain, up to one in a hundred or so."""
        same = 0
        for case in CASES:
            chain = ask(case, "--method", "cot", "-n", 12)["answer"].split()
            said = [step["lens"][0]["text"].strip() for step in ask(case)["steps"]]
            same += sum(one == other for one, other in zip(said, chain))
        self.assertGreaterEqual(same, 34)

    def test_most_questions_of_a_fresh_set(self):
        self.assertGreaterEqual(accuracy("whole"), 0.9)

    def test_without_its_latents_it_guesses(self):
        self.assertLess(accuracy("noise", "--latent-text", "noise"), 0.4)  # a guess: 0.25, of 120 questions +-0.04

    def test_a_probe_tells_that_answers_depend_on_latents(self):
        """Any word is an answer, so answers that are not an option do not prevent a conclusion."""
        call = ("eval", "probe", "-d", hops(), "--limit", 24, "-n", 12, "-o", WORK / "probe.jsonl", "--json")
        report = json.loads(run(*call).stdout)
        self.assertEqual(report["scorer"], "last_named:ending")
        self.assertIn("The answers depend on the latent text", report["words"][0])
        self.assertIn("Nothing can be concluded about the latent text", json.loads(run(*call, "--scorer", "strict").stdout)["words"][0])

    def test_damaged_weights_are_noticed(self):
        model = WORK / "damaged"
        shutil.copytree(DEFAULT, model)
        path = model / "model.safetensors"
        data = bytearray(path.read_bytes())
        length = int.from_bytes(data[:8], "little")
        tensor = json.loads(data[8:8 + length])["model.layers.3.self_attn.k_proj.weight"]
        begin, end = (8 + length + at for at in tensor["data_offsets"])
        data[begin:end] = bytes(end - begin)
        path.write_bytes(data)
        self.assertLess(accuracy("damaged", "-m", model), 0.5)

    def test_in_eight_bits_it_says_the_same(self):
        """Of 1,500 questions 1,498 have the same text; of these at most one may differ, four bits may change more."""
        eight = quantised("Q8_0")
        for case in CASES:
            for method in ("direct", "cot", "ivt-lr"):
                self.assertEqual(ask(case, "-m", eight, "--method", method, "-n", 32)["answer"], case["answers"][method])
        plain, texts = answers("plain"), [row["text"] for row in answers("eight", "-m", eight)]
        self.assertGreaterEqual(sum(row["text"] == text for row, text in zip(plain, texts)), len(plain) - 1)
        self.assertGreaterEqual(accuracy("four", "-m", quantised("Q4_0")), 0.9)

    def test_adapters_learn_the_same_over_eight_bits(self):
        """Over packed codes and over the same values in F32; the gradient over other values (4 bits) is another one."""
        codes = quantised("Q8_0")
        values = WORK / "values"
        self.assertEqual(run("quantize", codes, "-o", values, "--type", "F32").returncode, 0)
        loss, steps = trained_adapter(codes)
        for model, most, least, apart in ((values, 1, 0.97, 0.03), (quantised("Q4_0"), 0.95, 0, 9)):
            other_loss, other = trained_adapter(model)
            same = sum((a > 0) == (b > 0) for a, b in zip(steps, other)) / len(steps)
            self.assertTrue(least <= same <= most and abs(other_loss / loss - 1) < apart, (model, same, loss, other_loss))

    def test_other_commands_find_it(self):
        self.assertEqual(run("inspect").returncode, 0)
        self.assertEqual(run("tokenize", "-p", "the red circle").returncode, 0)

    def test_a_program_without_one_says_so(self):
        lonely = WORK / "lonely"
        os.makedirs(lonely, exist_ok=True)
        program = shutil.copy(PROGRAM, lonely / "tenebra")
        for arguments in (("run", "-p", "x"), ("inspect",), ("tokenize", "-p", "x"), ("bench",), ("eval", "-d", "hops:x")):
            done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, env=environment(), check=False)
            self.assert_fails(done, 2, "-m")


if __name__ == "__main__":
    main()
