"""tenebra inspect and bench: their output about valid and broken models, and models that bench makes.

    models.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import struct
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import DATA, TOKENIZER, WORK, Case, main, make_model, run  # noqa: E402

BENCH = ("--prompt-tokens", 60, "--image-size", "112x112", "--k-select", 4, "-n", 3, "-r", 1, "-t", 1)


def change_header(directory, change):
    """Rewrites the header of the directory's model.safetensors; `change` edits its object in place."""
    path = Path(directory) / "model.safetensors"
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length:])


def copy_model(name):
    directory = WORK / name
    shutil.copytree(make_model("model"), directory)
    return directory


class Inspect(Case):
    def test_a_good_model(self):
        done = run("inspect", "-m", make_model("model"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for words in ("qwen2-vl", "4 layers", "hidden 128", "tied", "81 matched", "0 missing", "0 unexpected"):
            self.assertIn(words, done.stdout)
        self.assertEqual(done.stdout, run("inspect", make_model("model")).stdout)
        listed = run("inspect", "-m", make_model("model"), "--all").stdout
        self.assertEqual(sum(line.startswith("  matched") for line in listed.splitlines()), 81)

    def test_json(self):
        done = run("inspect", "-m", make_model("model"), "--json")
        self.assertEqual(done.returncode, 0)
        told = json.loads(done.stdout)
        self.assertEqual(told["counts"], {"matched": 81, "missing": 0, "unexpected": 0, "misshapen": 0, "adapter": 0, "second": 0})
        self.assertEqual(len(told["tensors"]), 81)
        self.assertEqual(told["bytes"], 4 * told["parameters"])
        self.assertEqual(sum(tensor["bytes"] for tensor in told["tensors"]), told["bytes"])
        self.assertEqual(told["config"]["decoder"]["hidden_size"], 128)

    def test_a_missing_and_an_unexpected_tensor(self):
        directory = copy_model("renamed")
        change_header(directory, lambda header: header.update({"model.norm.wait": header.pop("model.norm.weight")}))
        done = run("inspect", "-m", directory)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertRegex(done.stdout, r"missing +model\.norm\.weight")
        self.assertRegex(done.stdout, r"unexpected +model\.norm\.wait")
        told = json.loads(run("inspect", "-m", directory, "--json").stdout)
        self.assertEqual(told["counts"], {"matched": 80, "missing": 1, "unexpected": 1, "misshapen": 0, "adapter": 0, "second": 0})
        self.assert_fails(run("run", "-m", directory, "-p", "hi"), 1, "model.norm")

    def test_a_misshapen_tensor(self):
        directory = copy_model("misshapen")

        def turn(header):
            header["model.layers.0.mlp.up_proj.weight"]["shape"].reverse()

        change_header(directory, turn)
        told = json.loads(run("inspect", "-m", directory, "--json").stdout)
        wrong = [tensor for tensor in told["tensors"] if tensor["verdict"] == "misshapen"]
        self.assertEqual(told["counts"]["misshapen"], 1)
        self.assertEqual((wrong[0]["shape"], wrong[0]["expected"]), ([128, 256], [256, 128]))
        self.assertEqual(run("inspect", "-m", directory).returncode, 1)

    def test_broken_files(self):
        directory = copy_model("cut")
        path = directory / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        self.assert_fails(run("inspect", "-m", directory), 1, "model.safetensors")
        (directory / "config.json").write_text('{"model_type": "abacus"}', encoding="utf-8")
        self.assert_fails(run("inspect", "-m", directory), 1, "abacus")


class Bench(Case):
    FIELDS = {"model", "kernels", "cache_type", "threads", "prompt_tokens", "image_tokens", "n_latent", "k_select", "generated_tokens",
              "load_ms", "vision_ms", "prompt_ms", "prompt_tokens_per_s", "latent_step_ms", "decode_tokens_per_s",
              "question_ms", "peak_mb", "positions_computed", "read_gb_per_s", "weight_type",
              "floor_vision_ms", "floor_prompt_ms", "floor_latent_step_ms", "floor_token_ms", "floor_question_ms"}

    def test_json(self):
        done = run("bench", "-m", make_model("model"), *BENCH, "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        told = json.loads(done.stdout)
        self.assertEqual(set(told) - {"peak_gop_per_s"}, self.FIELDS)
        self.assertEqual((told["prompt_tokens"], told["image_tokens"], told["threads"]), (60, 16, 1))
        self.assertEqual(told["positions_computed"], 60 + 3 * 5 + 3 - 1)
        self.assertTrue(all(value > 0 for value in told.values() if not isinstance(value, str)))

    def test_comparison_with_recomputing(self):
        told = json.loads(run("bench", "-m", make_model("model"), *BENCH, "--compare-recompute", "--json").stdout)
        self.assertEqual(set(told) - self.FIELDS - {"peak_gop_per_s"}, {"recompute_question_ms", "recompute_positions", "recompute_ratio"})
        self.assertEqual(told["recompute_positions"], 5 * 60 + 5 * 3 * 6 // 2 + 1 + 1)
        self.assertGreater(told["recompute_ratio"], 0)

    def test_costs(self):
        told = json.loads(run("bench", "-m", make_model("model"), *BENCH, "--costs", "--cache-type", "bf16", "--json").stdout)
        self.assertEqual(set(told) - self.FIELDS - {"peak_gop_per_s"}, {"tap_cost_percent", "trace_cost_percent", "lens_cost_percent",
                                                   "warm_question_ms"})
        self.assertEqual(told["cache_type"], "bf16")
        self.assertEqual(told["positions_computed"], 60 + 3 * 5 + 3 - 1)  # repeated questions start afresh
        self.assertGreater(told["warm_question_ms"], 0)

    def test_text(self):
        done = run("bench", "-m", make_model("model"), *BENCH, "--compare-recompute")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for words in ("60 rows (16 of the image)", "3 latent steps of 4 picks", "load", "vision", "tokens/s", "latent step",
                      "times as long", "peak memory"):
            self.assertIn(words, done.stdout)

    def test_kernel_sets(self):
        names = run("bench", "--list-kernels").stdout.split()
        self.assertIn("reference", names)
        for name in names:
            told = json.loads(run("bench", "-m", make_model("model"), *BENCH, "--kernels", name, "--json").stdout)
            self.assertEqual(told["kernels"], name)

    def test_making_a_model(self):
        """The same seed gives the same bytes, another seed gives others; an existing directory is not changed."""
        first, same, other = (Path(make_model(name, seed)) / "model.safetensors"
                              for name, seed in (("model", 7), ("twin", 7), ("other", 8)))
        self.assertEqual(first.read_bytes(), same.read_bytes())
        self.assertNotEqual(first.read_bytes(), other.read_bytes())
        before = sorted(path.name for path in first.parent.iterdir())
        self.assert_fails(run("bench", "--shape", "tiny", "-o", first.parent), 2, str(first.parent), "empty")
        self.assertEqual(sorted(path.name for path in first.parent.iterdir()), before)
        done = run("bench", "--shape", "tiny", "-o", WORK / "plain", "--type", "BF16")
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertIn("plain", done.stderr)
        told = json.loads(run("inspect", "-m", WORK / "plain", "--json").stdout)
        self.assertEqual(told["bytes"], 2 * told["parameters"])

    def test_wrong_usage(self):
        self.assert_fails(run("bench", "--shape", "tiny"), 2, "-o")
        self.assert_fails(run("bench", "--shape", "huge", "-o", WORK / "huge"), 2, "huge", "tiny")
        self.assertFalse((WORK / "huge").exists())
        self.assert_fails(run("bench", "--shape", "tiny", "-o", WORK / "odd", "--type", "F64"), 2, "F64")
        self.assert_fails(run("bench", "--shape", "tiny", "-o", WORK / "odd", "--tokenizer", DATA / "image"), 1, "image")
        self.assert_fails(run("bench", "-m", make_model("model"), "--image-size", "big"), 2, "image-size")
        self.assertTrue(Path(TOKENIZER).is_dir())


if __name__ == "__main__":
    main()
