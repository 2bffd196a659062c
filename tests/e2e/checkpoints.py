"""Checkpoints of training programs: run, inspected and converted beside their base model, and refused where they are not sound.

    checkpoints.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from checkpoint import FRONT, adapted, read_safetensors, write_checkpoint  # noqa: E402
from program import DATA, WORK, Case, ask, ask_json, main, make_model, run  # noqa: E402

QUESTION = ("-p", "What is small and green?", "--method", "direct", "-t", 1)


def weights():
    return read_safetensors(Path(make_model("model")) / "model.safetensors")


def base_only():
    """The model's directory without weights."""
    directory = WORK / "base"
    if not directory.exists():
        shutil.copytree(make_model("model"), directory)
        (directory / "model.safetensors").unlink()
    return directory


def checkpoint():
    path = WORK / "model.pth"
    if not path.exists():
        write_checkpoint(path, adapted(weights()))
    return path


def answer(*arguments, model):
    done = ask_json(*QUESTION, "--kernels", "reference", *arguments, model=str(model))
    return done["tokens"]


class Checkpoints(Case):
    def convert(self, name, *arguments, code=0):
        directory = WORK / name
        done = run("convert", checkpoint(), "--base", base_only(), "-o", directory, *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        return directory, done

    def test_a_plain_state_dict(self):
        """The weights of the model itself, by any of their names, answer as the model does."""
        expected = answer(model=make_model("model"))
        for name in ("pytorch_model.bin", "model.pth"):
            directory = WORK / ("plain-" + name.split(".")[1])
            shutil.copytree(base_only(), directory)
            write_checkpoint(directory / name, weights())
            self.assertEqual(answer(model=directory), expected)
            self.assertEqual(answer(model=directory / name), expected)  # the file, beside its config.json
        self.assertEqual(answer("--base", base_only(), model=directory / name), expected)

    def test_an_index_of_files(self):
        directory, tensors = WORK / "sharded", weights()
        shutil.copytree(base_only(), directory)
        names = list(tensors)
        parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
        for file, members in parts.items():
            write_checkpoint(directory / file, {name: tensors[name] for name in members})
        index = {"metadata": {}, "weight_map": {name: file for file, members in parts.items() for name in members}}
        (directory / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        self.assertEqual(answer(model=directory), answer(model=make_model("model")))

    def test_with_its_adapter(self):
        """The adapter counts: alpha changes the answer, and 16 is the default, which a note tells."""
        done = ask(*QUESTION, "--base", base_only(), model=str(checkpoint()))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("contain a low-rank adapter (rank 2, 28 matrices), which is applied with alpha 16, that of the published training "
                      "program; --lora-alpha sets another", done.stderr)
        expected = answer("--base", base_only(), model=checkpoint())
        self.assertEqual(answer("--base", base_only(), "--lora-alpha", 16, model=checkpoint()), expected)
        self.assertNotEqual(answer("--base", base_only(), "--lora-alpha", 1e-6, model=checkpoint()), expected)
        self.assertEqual(answer("--base", base_only(), "--lora-alpha", 1e-6, model=checkpoint()), answer(model=make_model("model")))

    def test_convert(self):
        expected = answer("--base", base_only(), model=checkpoint())
        directory, done = self.convert("separate")
        self.assertIn("adapter    rank 2, alpha 16, on 28 matrices: written to", done.stderr)
        self.assertEqual(answer("--lora", directory / "adapter", model=directory), expected)
        self.assertNotEqual(answer(model=directory), expected)
        merged, done = self.convert("merged", "--merge")
        self.assertEqual(answer(model=merged), expected)
        self.assertFalse((merged / "adapter").exists())
        self.assertIn("merged into the weights", done.stderr)
        self.assertEqual(sorted(read_safetensors(merged / "model.safetensors")), sorted(weights()))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            self.assertEqual((merged / name).read_bytes(), (base_only() / name).read_bytes())
        config, base = (json.loads((place / "config.json").read_text()) for place in (merged, base_only()))
        self.assertEqual(config["vocab_size"], base["vocab_size"] + 3)
        small, _ = self.convert("small", "--merge", "--type", "BF16")
        self.assertEqual({kind for kind, shape, _ in read_safetensors(small / "model.safetensors").values() if len(shape) > 1}, {"BF16"})
        self.assertEqual(json.loads((small / "config.json").read_text())["torch_dtype"], "bfloat16")
        packed, _ = self.convert("packed", "--merge", "--type", "Q8_0", "--order", "panels", "--file-gb", 0.0005)
        self.assertGreater(len(list(packed.glob("model-*.safetensors"))), 1)
        self.assertEqual(run("inspect", "-m", packed).returncode, 0)

    def test_inspect(self):
        done = run("inspect", "-m", checkpoint(), "--base", base_only())
        self.assertEqual(done.returncode, 0, done.stderr)
        for line in (f"names      begin with {FRONT}", "adapter    56 tensors", "aliases    1 tensors", "vocabulary 1027 rows, 657 tokens in the tokenizer; the last row is 1026"):
            self.assertIn(line, done.stdout)
        found = json.loads(run("inspect", "-m", checkpoint(), "--base", base_only(), "--json").stdout)
        self.assertEqual((found["counts"]["adapter"], found["counts"]["second"], found["counts"]["missing"]), (56, 1, 0))
        self.assertEqual((found["config"]["vocabulary"], found["config"]["tokens"]), (1027, 657))
        self.assertIn("whole", run("inspect", "--check", checkpoint()).stdout)

    def test_evaluate(self):
        """The digest of a model covers its weights wherever they are."""
        rows = [{"id": "1", "question": "Which?", "choices": ["red", "blue"], "answer": 0}]
        data = WORK / "own.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        digests = []
        for name, arguments in (("one", ()), ("other", ("--lora-alpha", 2)), ("again", ())):
            done = run("eval", "-m", checkpoint(), "--base", base_only(), "--data", f"jsonl:{data}", "--method", "direct", "-n", 2, "-t", 1,
                       "-o", WORK / name, *arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            file = next(path for path in [WORK / name, *WORK.glob(f"{name}/*")] if path.is_file())
            digests.append(json.loads(file.read_text().splitlines()[0])["model"]["digest"])
        self.assertEqual(digests[0], digests[2])
        self.assertNotEqual(digests[0], digests[1])

    def test_mistakes(self):
        self.assert_fails(run("convert"), 2, "requires a checkpoint")
        self.assert_fails(run("convert", checkpoint()), 2, "-o")
        lonely = WORK / "lonely"
        lonely.mkdir()
        shutil.copy(checkpoint(), lonely / "model.pth")
        self.assert_fails(run("convert", lonely / "model.pth", "-o", WORK / "wrong"), 1, "--base names the directory")
        self.assert_fails(run("run", "-m", lonely / "model.pth", "-p", "x"), 1, "--base names the directory")
        self.assert_fails(run("run", "-m", lonely, "-p", "x"), 1, "config.json")
        self.assertEqual(answer("--base", base_only(), model=lonely), answer("--base", base_only(), model=checkpoint()))
        self.assert_fails(run("run", "--base", base_only(), "-p", "x"), 2, "requires the weights (-m)")
        self.assert_fails(run("convert", checkpoint(), "--base", base_only(), "-o", base_only()), 2, "model itself")
        self.assert_fails(run("convert", make_model("model"), "--merge", "-o", WORK / "wrong"), 2, "no low-rank adapter")
        self.assert_fails(run("quantize", lonely, "-o", WORK / "wrong", "--type", "Q8_0"), 1, "config.json")
        both = WORK / "both"
        shutil.copytree(base_only(), both)
        shutil.copy(checkpoint(), both / "model.pth")
        self.assert_fails(run("quantize", both, "-o", WORK / "wrong", "--type", "Q8_0"), 1, "'tenebra convert' merges it")
        run("data", "make", "hops", WORK / "looks", "--train", 2, "--dev", 1, "--test", 1)
        training = ("train", "-m", both, "-d", f"hops:{WORK / 'looks'}", "-o", WORK / "wrong")
        self.assert_fails(run(*training), 1, "'tenebra convert' writes a model directory")
        tensors = weights()
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
        write_checkpoint(both / "model.pth", tensors)
        self.assertEqual(answer(model=both), answer(model=make_model("model")))
        self.assert_fails(run(*training), 1, "also as its head")
        self.assertFalse((WORK / "wrong").exists())
        done, _ = self.convert("twice", "--merge")
        self.assert_fails(run("convert", checkpoint(), "--base", base_only(), "-o", done), 2, "--force")
        self.convert("twice", "--force")
        self.convert("twice", "--force")  # also over one that has an adapter

    def test_nothing_is_executed(self):
        mark = WORK / "executed"
        command = f"touch {mark}".encode()
        call = b"cposix\nsystem\n(X" + len(command).to_bytes(4, "little") + command + b"tR"
        path = WORK / "hostile.pth"
        write_checkpoint(path, weights(), call)
        for command in (("run", "-m", path, "--base", base_only(), "-p", "x"), ("convert", path, "--base", base_only(), "-o", WORK / "wrong")):
            self.assert_fails(run(*command), 1, "posix.system", "nothing was executed")
        self.assertFalse(mark.exists())
        self.assertFalse((WORK / "wrong").exists())
        for name in ("compressed", "old", "tar", "script", "quantised", "sparse"):
            self.assert_fails(run("run", "-m", DATA / f"torch/{name}.pth", "--base", base_only(), "-p", "x"), 1, f"{name}.pth")

    def test_damage(self):
        """A flipped bit of a number is noticed by convert, and by inspect --check; a cut file by any command."""
        data = bytearray(checkpoint().read_bytes())
        place = data.rindex(adapted(weights())[FRONT + "model.norm.weight"][2])
        data[place] ^= 1
        flipped, cut = WORK / "flipped.pth", WORK / "cut.pth"
        flipped.write_bytes(data)
        cut.write_bytes(data[:-1000])
        self.assert_fails(run("convert", flipped, "--base", base_only(), "-o", WORK / "wrong"), 1, "is damaged")
        self.assertFalse((WORK / "wrong").exists())
        done = run("inspect", "--check", flipped)
        self.assertEqual(done.returncode, 1)
        self.assertIn("damaged", done.stdout)
        self.assert_fails(run("run", "-m", cut, "--base", base_only(), "-p", "x"), 1, "is the file complete?")


if __name__ == "__main__":
    main()
