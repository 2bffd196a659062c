"""tenebra quantize from outside: the results can be run, its report is true, and failures leave no files.

    quantize.py PROGRAM DATA [TEST ...]
"""
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import DATA, PICTURE, PROGRAM, TOKENIZER, WORK, Case, ask, environment, main, make_model, run  # noqa: E402


def header(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        return length, json.loads(file.read(length))


def leftovers(name):
    return sorted(path.name for path in WORK.iterdir() if path.name.startswith(name))


class Quantize(Case):
    def make(self, name, *arguments):
        directory = WORK / name
        done = run("quantize", make_model("model"), "-o", directory, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return directory, done

    def test_a_complete_directory(self):
        directory, done = self.make("q8", "--type", "Q8_0")
        source = Path(make_model("model"))
        for path in source.iterdir():
            if path.suffix != ".safetensors":
                self.assertEqual((directory / path.name).read_bytes(), path.read_bytes(), path.name)
        self.assertIn("model.layers.*.mlp.down_proj.weight", done.stdout)
        self.assertIn("inputs are not whole blocks", done.stdout)  # of the kernel over pixels
        report = json.loads((directory / "quantization.json").read_text())
        down = [t for t in report["tensors"] if t["name"] == "model.layers.0.mlp.down_proj.weight"][0]
        self.assertEqual((down["from"], down["type"], down["order"], down["bits_per_weight"]), ("F32", "Q8_0", "panels", 8.5))
        self.assertTrue(0.003 < down["relative_rms_error"] < 0.007, down)
        self.assertTrue(0.9999 < down["cosine"] < 1, down)

    def test_the_file_is_an_ordinary_one(self):
        directory, _ = self.make("q4", "--type", "Q4_0")
        length, content = header(directory / "model.safetensors")
        self.assertEqual((8 + length) % 64, 0)
        metadata = content.pop("__metadata__")
        key = "tenebra.weight.model.layers.0.self_attn.q_proj.weight"
        self.assertEqual(metadata[key], "Q4_0 panels 128 128")
        self.assertEqual(content["model.layers.0.self_attn.q_proj.weight"]["dtype"], "U8")
        self.assertEqual(content["model.layers.0.self_attn.q_proj.weight"]["shape"], [8, 1152])
        for name, tensor in content.items():
            if f"tenebra.weight.{name}" in metadata:
                self.assertEqual(tensor["data_offsets"][0] % 64, 0, name)

    def test_orders_say_the_same(self):
        texts = set()
        for order in ("panels", "rows"):
            directory, _ = self.make(f"iq4-{order}", "--type", "IQ4_NL", "--order", order, "--tensor", "visual.patch_embed.*=F32")
            done = ask("-p", "What is this?", "--image", PICTURE, model=str(directory))
            self.assertEqual(done.returncode, 0, done.stderr)
            texts.add(done.stdout)
        self.assertEqual(len(texts), 1)

    def test_choices_and_inspect(self):
        directory, _ = self.make("mixed", "--type", "IQ4_NL", "--vision", "BF16", "--embeddings", "F16", "--tensor",
                                 "*.down_proj.weight=Q8_0", "--file-gb", "0.0003")
        self.assertTrue((directory / "model.safetensors.index.json").is_file())
        done = run("inspect", "-m", directory, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        types = {line["name"]: (line["type"], line["order"]) for line in seen["tensors"]}
        self.assertEqual(types["model.layers.0.mlp.down_proj.weight"], ("Q8_0", "panels"))
        self.assertEqual(types["model.layers.0.mlp.up_proj.weight"], ("IQ4_NL", "panels"))
        self.assertEqual(types["model.embed_tokens.weight"], ("F16", "rows"))
        self.assertEqual(types["visual.blocks.0.mlp.fc1.weight"], ("BF16", "panels"))
        self.assertEqual(seen["parameters"], json.loads(run("inspect", "-m", make_model("model"), "--json").stdout)["parameters"])
        self.assertIn("IQ4_NL panels", run("inspect", "-m", directory).stdout)

    def test_blocks_of_256(self):
        """Blocks of 256 if the inputs are multiples of 256 (down_proj here), else blocks of 32, as the report says."""
        for kind, wide, narrow, error in (("q4-256", "Q4_256", "IQ4_NL", (0.06, 0.1)), ("q8-256", "Q8_256", "Q8_0", (0.004, 0.009))):
            directory, done = self.make(kind, "--type", wide)
            self.assertIn("not whole blocks of 256", done.stdout)
            report = json.loads((directory / "quantization.json").read_text())
            tensors = {t["name"]: t for t in report["tensors"]}
            down, up = tensors["model.layers.0.mlp.down_proj.weight"], tensors["model.layers.0.mlp.up_proj.weight"]
            self.assertEqual((down["type"], down["order"], down["bits_per_weight"]), (wide, "panels", 4.25 if wide == "Q4_256" else 8.125))
            self.assertEqual((up["type"], up["note"]), (narrow, "inputs are not whole blocks of 256"))
            self.assertTrue(error[0] < down["relative_rms_error"] < error[1], down)
            done = ask("-p", "What is this?", "--image", PICTURE, model=str(directory))
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_verify_says_whose_bounds_it_has(self):
        golden = DATA / "golden/qwen2vl_untied"
        done = run("quantize", golden / "model", "-o", WORK / "golden", "--type", "Q8_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("verify", "-m", WORK / "golden", golden / "case.safetensors")
        self.assertEqual(done.returncode, 1)
        self.assertIn("weights of type Q8_0", done.stderr)
        self.assertNotIn("weights of type", run("verify", golden / "case.safetensors").stderr)

    def test_again_is_warned_of(self):
        directory, _ = self.make("first", "--type", "Q4_0")
        done = run("quantize", directory, "-o", WORK / "second", "--type", "IQ4_NL", "--json")
        self.assertEqual(done.returncode, 0)
        report = json.loads(done.stdout)
        self.assertGreater(report["quantised_twice"], 0)
        done = run("quantize", directory, "-o", WORK / "third", "--type", "IQ4_NL")
        self.assertIn("quantised already", done.stderr)

    def test_mistakes(self):
        model = make_model("model")
        self.assert_fails(run("quantize"), 2, "model directory")
        self.assert_fails(run("quantize", model), 2, "-o")
        self.assert_fails(run("quantize", model, "-o", WORK / "wrong"), 2, "--type")
        self.assert_fails(run("quantize", model, "-o", WORK / "wrong", "--type", "Q5_K"), 2, "Q8_0|Q8_256|Q4_0")
        self.assert_fails(run("quantize", model, "more", "-o", WORK / "wrong", "--type", "Q8_0"), 2, "more")
        self.assert_fails(run("quantize", model, "-o", model, "--type", "Q8_0"), 2, "model itself")
        self.assert_fails(run("quantize", model, "-o", model + "/.", "--type", "Q8_0", "--force"), 2, "model itself")
        self.assert_fails(run("quantize", WORK / "absent", "-o", WORK / "wrong", "--type", "Q8_0"), 1, "not a model directory")
        self.assert_fails(run("quantize", model, "-o", WORK / "no/where", "--type", "Q8_0"), 1, "cannot be made")
        for rule in ("x", "=Q8_0", "x=Q9", "x=F64"):
            self.assert_fails(run("quantize", model, "-o", WORK / "wrong", "--type", "Q8_0", "--tensor", rule), 2, "PATTERN=TYPE")
        self.assert_fails(run("quantize", model, "-o", WORK / "wrong", "--type", "Q8_0", "--tensor", "nothing*=F32"), 2, "matches no matrix")
        self.assertEqual(leftovers("wrong"), [])

    def test_the_command_line_wins_over_the_environment(self):
        done = run("quantize", make_model("model"), "-o", WORK / "named", "--type", "Q8_0", env={"TENEBRA_MODEL": str(WORK / "absent")})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_fails(run("quantize", "-o", WORK / "absent-q", "--type", "Q8_0", env={"TENEBRA_MODEL": str(WORK / "absent")}), 1, "absent")

    def test_existing_directories(self):
        directory, _ = self.make("there", "--type", "Q8_0")
        model = make_model("model")
        self.assert_fails(run("quantize", model, "-o", directory, "--type", "Q4_0"), 2, "--force")
        done = run("quantize", model, "-o", f"{directory}/", "--type", "Q4_0", "--force", "--file-gb", "0.0003")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse((directory / "model.safetensors").exists())
        self.assertEqual(run("inspect", "-m", directory).returncode, 0)
        other = WORK / "other"
        other.mkdir()
        (other / "letter.txt").write_text("mine")
        self.assert_fails(run("quantize", model, "-o", other, "--type", "Q8_0", "--force"), 2, "not a model directory")
        self.assertEqual((other / "letter.txt").read_text(), "mine")
        self.assertEqual(leftovers("there"), ["there"])

    def test_damaged_metadata(self):
        directory, _ = self.make("damaged", "--type", "Q4_0")
        path = directory / "model.safetensors"
        good = path.read_bytes()
        for old, new in ((b"Q4_0 panels 128 128", b"Q4_0 panels 128 192"), (b"Q4_0 panels 128 128", b"Q8_0 panels 128 128"),
                         (b"Q4_0 panels 128 128", b"Q4_0 panelz 128 128"), (b"tenebra.weight.model", b"tenebra.weight.nodel")):
            path.write_bytes(good.replace(old, new, 1))
            self.assert_fails(run("run", "-m", directory, "-p", "hi"), 1, "model.safetensors")

    def test_interrupted(self):
        source = WORK / "larger"
        done = run("bench", "--shape", "tiny", "--type", "F32", "--tokenizer", TOKENIZER, "-o", source)
        self.assertEqual(done.returncode, 0, done.stderr)
        for delay in (0.0, 0.005, 0.02):
            process = subprocess.Popen([PROGRAM, "quantize", source, "-o", WORK / "stopped", "--type", "IQ4_NL", "-t", "1", "--force"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            process.communicate()
            self.assertIn(leftovers("stopped"), ([], ["stopped"]))


if __name__ == "__main__":
    main()
