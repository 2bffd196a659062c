#!/usr/bin/env python3
"""What a wording brings with it, from outside: the layout of prompts and the number of picks, asking, evaluating and training.

    wordings.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import DATA, PICTURE, WORK, Case, make_model, main, run  # noqa: E402

TRAIN, TEST = "ivtlr-fused-train", "ivtlr-fused-infer"
QUESTION = ("--image", PICTURE, "-p", "Which one?", "--choice", "red", "--choice", "blue")
WORDS = "[Question]:{Which one?}\n[Options]:\n(A).{red}\n(B).{blue}\nAnswer:"
TRAINED = "[Question]:{<image>Which one?}\n[Options]:\n(A).{red}\n(B).{blue}"


def made_fused():
    """A model for which images are tokens; an image has 64 of them."""
    directory = WORK / "fused"
    if not directory.exists():
        done = run("bench", "--shape", "chameleon-tiny", "--type", "F32", "--tokenizer", DATA / "tokenizer-chameleon", "-o", directory)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
    return directory


def made_data():
    directory = WORK / "looks"
    if not directory.exists():
        done = run("data", "make", "hops", directory, "--train", 4, "--dev", 1, "--test", 2, "--families", "arrows", "--brief")
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
    return f"hops:{directory}"


class Wordings(Case):
    def asked(self, *arguments, model=None):
        done = run("run", "-m", model or made_fused(), "-n", 2, "-t", 1, "--json", *QUESTION, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_layout_at_test_time(self):
        trace = self.asked("--preset", TEST, "--method", "ivt-lr", "--n-latent", 1)
        self.assertEqual(trace["passes"][0]["prompt"], f"<racm3:break><image><eoss>{WORDS}<reserved08706>")
        self.assertEqual(trace["settings"]["k-select"], 64)
        self.assertEqual(trace["counts"]["injected"], 64)
        direct = self.asked("--preset", TEST, "--method", "direct")
        self.assertEqual(direct["counts"]["prompt"], trace["counts"]["prompt"])
        self.assertEqual(direct["passes"][0]["prompt"], trace["passes"][0]["prompt"])

    def test_layout_of_training(self):
        trace = self.asked("--preset", TRAIN, "--method", "ivt-lr", "--n-latent", 1)
        self.assertEqual(trace["passes"][0]["prompt"], TRAINED)
        self.assertEqual(trace["settings"]["k-select"], 64)
        other = self.asked("--preset", "ivtlr-infer-parens", "--method", "ivt-lr", "--n-latent", 1)
        self.assertEqual(other["settings"]["k-select"], 32)

    def test_a_setting_overrides_it(self):
        trace = self.asked("--preset", TEST, "--method", "ivt-lr", "--n-latent", 2, "--k-select", 3)
        self.assertEqual(trace["counts"]["injected"], 6)

    def test_requests(self):
        lines = [{"preset": TEST, "method": "ivt-lr"}, {"preset": TEST, "method": "ivt-lr", "settings": {"k-select": 5}},
                 {"method": "ivt-lr"}, {"preset": TEST, "method": "coconut"}]
        text = "".join(json.dumps({"prompt": "Which one?", "images": [PICTURE], "choices": ["red", "blue"], "max_tokens": 1, **line}) + "\n"
                       for line in lines)
        done = run("run", "-m", made_fused(), "-t", 1, "--jsonl", "--json", stdin=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        settings = [json.loads(line)["settings"].get("k-select") for line in done.stdout.split("\n") if line]
        self.assertEqual(settings, [64, 5, 32, None])

    def test_other_backbones_have_the_same_wording(self):
        trace = self.asked("--preset", TRAIN, "--method", "direct", model=make_model("model"))
        self.assertEqual(trace["passes"][0]["prompt"], TRAINED.replace("<image>", "<|image_pad|>"))

    def test_evaluation(self):
        out = WORK / "out.jsonl"
        done = run("eval", "-m", made_fused(), "-d", made_data(), "--method", "direct,ivt-lr,ivt-lr:k-select=2", "--preset", TEST, "-t", 1, "-n",
                   2, "--limit", 1, "-o", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        picks = [line["tokens"]["injected"] for line in map(json.loads, filter(None, out.read_text().split("\n"))) if "tokens" in line]
        self.assertEqual(sorted(picks), [0, 6, 64])

    def test_training(self):
        out = WORK / "run"
        done = run("train", "-m", made_fused(), "-d", made_data(), "-o", out, *(word for change in (
            f"prompt={TRAIN}", f"val_prompt={TEST}", "resume=4", "num_epochs=5", "max_updates=1", "val_samples=1", "batch_size=1",
            "gradient_accumulation_steps=1", "lora_rank=2", "threads=1", "val_tokens=2") for word in ("--set", change)))
        self.assertEqual(done.returncode, 0, done.stderr)
        about = json.loads((out / "adapter/training.json").read_text())
        self.assertEqual(about["config"]["settings"], {"k-select": "64"})

    def test_training_with_the_wording_for_other_backbones(self):
        """A note names the other wording, and the plan the one in use."""
        def plan(model, **keys):
            done = run("train", "-m", model, "-d", made_data(), "-o", WORK / "never", "--plan", "-t", 1,
                       *(f"--set={key}={value}" for key, value in {"max_updates": 1, "num_epochs": 1, "batch_size": 1, **keys}.items()))
            self.assertEqual(done.returncode, 0, done.stderr)
            return done
        note = "with this model they would use"
        self.assertIn(f"note: prompt: the authors use ivtlr-train with models whose images are embeddings; {note} {TRAIN}\n",
                      plan(made_fused()).stderr)
        self.assertIn(f"note: prompt: the authors use {TRAIN} with models whose images are tokens; {note} ivtlr-train\n",
                      plan(make_model("model"), prompt=TRAIN).stderr)
        right = plan(made_fused(), prompt=TRAIN, val_prompt=TEST)
        self.assertNotIn(note, right.stderr)
        self.assertIn(f"settings          k-select 64\nwording           {TRAIN}\n", right.stdout)
        self.assertIn("note: val_prompt: ", plan(make_model("model"), val_prompt=TEST).stderr)
        for wording in ("ivtlr-infer", "ivtlr-infer-parens", "brief"):  # for both kinds
            self.assertNotIn(note, plan(made_fused(), prompt=wording, method="cot").stderr)


class Placeholders(Case):
    def seen(self, model, rows):
        """Asks a copy of the model whose processor file states the number of rows of an image."""
        directory = WORK / f"{os.path.basename(model)}-{rows}"
        shutil.copytree(model, directory)
        path = directory / "processor_config.json"
        path.write_text(json.dumps({"processor_class": "P", "image_seq_length": rows}), encoding="utf-8")
        return run("run", "-m", directory, "-n", 1, "-t", 1, "--image-size", "32x32" if "fused" in model else "56x56", *QUESTION)

    def test_as_many_as_the_processor_states(self):
        done = self.seen(str(made_fused()), 64)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("image_seq_length", done.stderr)
        self.assert_fails(self.seen(str(made_fused()), 63), 1, "\"image_seq_length\" is 63", "have 64 embeddings")

    def test_where_images_differ_it_is_noted(self):
        done = self.seen(make_model("model"), 64)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("image_seq_length", done.stderr)


if __name__ == "__main__":
    main()
