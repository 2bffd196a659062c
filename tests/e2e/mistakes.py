"""Exit codes and messages: 0 well, 1 failed, 2 wrong usage, of every command; help of every command.

    mistakes.py PROGRAM DATA [TEST ...]
"""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import DATA, PICTURE, PROGRAM, WORK, Case, ask, environment, main, make_model, run  # noqa: E402

COMMANDS = ("run", "inspect", "convert", "quantize", "tokenize", "verify", "bench")
METHODS = ("direct", "cot", "coconut", "ivt-lr")


class Help(Case):
    def test_overview(self):
        for arguments in (("--help",), ("-h",), ("help",)):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for command in COMMANDS:
                self.assertRegex(done.stdout, rf"(?m)^  {command} +\w")
            self.assertIn("exit codes", done.stdout)
        self.assertRegex(run("--version").stdout, r"^tenebra \d+\.\d+\.\d+\n$")
        done = run()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("usage:", done.stderr)

    def test_every_command_explains_itself(self):
        for command in COMMANDS:
            done = run(command, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            self.assertTrue(done.stdout.startswith(f"usage: tenebra {command}"))
            self.assertRegex(done.stdout, rf"example:\n +.*tenebra {command} ")
            self.assertIn("TENEBRA_<NAME>", done.stdout)
            for line in done.stdout.splitlines():
                self.assertLessEqual(len(line), 150, line)
            self.assertEqual(done.stdout, run(command, "-h").stdout)

    def test_options_are_told_with_their_methods(self):
        text = run("run", "--help").stdout
        for method in METHODS:
            self.assertIn(method, text)
        self.assertRegex(text, r"--n-latent N +number of latent steps \(default: 3\) \[coconut, ivt-lr, lare: 4\]")
        self.assertRegex(text, r"--order vision-first\|text-first\n.*\(default: vision-first\) \[ivt-lr\]")

    def test_examples_use_options_that_exist(self):
        for command in COMMANDS:
            text = run(command, "--help").stdout
            options, example = text.split("\nexample:\n")
            for option in re.findall(r"(?<!\w)--?[a-z][\w-]*", re.sub(r"'[^']*'|\"[^\"]*\"", "", example)):
                self.assertIn(option, options, command)


class Usage(Case):
    def test_unknown_commands_and_options(self):
        self.assert_fails(run("think"), 2, "think", "--help")
        for command in COMMANDS:
            self.assert_fails(run(command, "--imagine"), 2, f"tenebra {command}", "--imagine", "--help")
            self.assert_fails(run(command, "-Z"), 2, f"tenebra {command}", "-Z")
            self.assert_fails(run(command, "--model"), 2, "--model", "value")
            self.assert_fails(run(command, "--help=3"), 2, "--help=3", "no value")

    def test_abbreviations(self):
        self.assertEqual(ask("--pro", "hi").returncode, 0)
        self.assert_fails(ask("--image-m", "3", "-p", "hi"), 2, "--image-m", "several options: --image-min-tokens, --image-max-tokens (")
        self.assertNotIn("several", ask("--image-x", "3", "-p", "hi").stderr)

    def test_one_dash(self):
        """A long name after a single dash is not taken for letters, nor for a letter with its value."""
        for arguments, name in ((("-image", "a.png"), "image"), (("-model", "x"), "model"), (("-temp=0.5", "-p", "hi"), "temp")):
            self.assert_fails(run("run", *arguments), 2, f"-{name} is not an option", f"did you mean '--{name}'?")
        self.assertNotIn("did you mean", run("run", "-t", "-temp").stderr)
        self.assertNotIn("is not an option", run("run", "-mmodel-that-is-not-there", "-p", "hi").stderr)

    def test_nearest_names(self):
        """A misspelt name is answered with the one that was probably meant, whatever it names; another word with none."""
        ask_hops = ("eval", "--data", "hops:x")
        for arguments, meant in ((("rnu",), "run"), (("eval", "tabel"), "table"), (("data", "lsit"), "list"),
                                 (("run", "--n-latnet", "3"), "--n-latent"), (("run", "--n-latnet=3"), "--n-latent"),
                                 (("train", "--overwrote"), "--overwrite"), (("run", "--method", "ivtlr"), "ivt-lr"),
                                 ((*ask_hops, "--method", "direct,coconot"), "coconut"),
                                 ((*ask_hops, "--method", "ivt-lr:k-selet=3"), "k-select"),
                                 (("run", "--preset", "breif"), "brief"), (("data", "show", "hops:x", "--preset", "wrods"), "words"),
                                 (("run", "--kernels", "refrence"), "reference"), (("run", "--order", "text-frist"), "text-first"),
                                 (("bench", "--shape", "tinny", "-o", WORK / "tinny"), "tiny"),
                                 (("eval", "--data", "hosp:x", "--method", "direct"), "hops"),
                                 (("eval", "score", "--scorer", "strct", "x"), "strict"),
                                 (("run", "--chat-template", "qwen2_vll"), "qwen2-vl"),
                                 (("train", "--set", "k_selct=3"), "k-select"), (("train", "--set", "batch_sise=3"), "batch_size")):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), (arguments, done.stderr))
            self.assertIn(f"did you mean '{meant}'?", done.stderr, arguments)
        for arguments in (("think",), ("run", "--telepathy"), ("run", "--method", "telepathy"), ("run", "--kernels", "abacus")):
            self.assertNotIn("did you mean", run(*arguments).stderr, arguments)

    def test_options_of_methods_are_read_before_the_model(self):
        """A value out of range is wrong usage, whatever is wrong with the model's path as well."""
        nowhere = ("-m", WORK / "nowhere")
        for command in (("run", "-p", "hi", "--method", "ivt-lr"), ("run", "-p", "hi"), ("eval", "-d", "hops:x", "--method", "ivt-lr"),
                        ("eval", "probe", "-d", "hops:x", "--method", "ivt-lr")):
            for value in ("x", "-1", "1.5", "1025"):
                self.assert_fails(run(*command, *nowhere, "--n-latent", value), 2, "--n-latent", value, "1024")
        self.assert_fails(run("eval", *nowhere, "-d", "hops:x", "--method", "ivt-lr:n-latent=x"), 2, "n-latent", "1024")
        self.assert_fails(run("train", *nowhere, "-d", "hops:x", "-o", WORK / "t", "--set", "k-select=x"), 2, "k-select", "whole number")

    def test_a_case_is_needed(self):
        self.assert_fails(run("verify"), 2, "tenebra")

    def test_numbers(self):
        for option, value, words in (("-t", "0.0", "--temp"), ("-t", "0.7", "--temp"), ("-t", "many", "number"),
                                     ("-t", "1025", "1024"), ("-n", "0", "10000000"), ("-n", "-3", "whole number"),
                                     ("-n", "1e3", "whole number"), ("--temp", "-1", "between"), ("--temp", "nan", "number"),
                                     ("--top-p", "1.5", "between 0 and 1"), ("--lens", "33", "32"),
                                     ("-s", "0.5", "whole number"), ("-s", "1e17", "whole number"), ("-c", "", "number"),
                                     ("-n", "-1", "from 1 to"), ("-c", "-1", "from 0 to"), ("-t", "-1", "from 0 to"),
                                     ("-s", "9223372036854775808", "to 9223372036854775807")):
            self.assert_fails(ask("-p", "hi", option, value), 2, words)

    def test_a_recipe_is_needed(self):
        self.assert_fails(run("train"), 2, "tenebra train: requires a recipe", "--keys")
        self.assertNotIn("requires a recipe", run("train", "-o", WORK / "t").stderr)

    def test_words(self):
        self.assert_fails(ask("-p", "hi", "--method", "telepathy"), 2, "telepathy", *METHODS)
        self.assert_fails(ask("-p", "hi", "--positions", "spiral"), 2, "spiral", "sequential|mrope")
        self.assert_fails(ask("-p", "hi", "--method", "ivt-lr", "--order", "vision"), 2, "vision", "text-first")
        self.assert_fails(ask("-p", "hi", "--method", "ivt-lr", "--k-select", "5000"), 2, "k-select", "4096")
        self.assert_fails(ask("-p", "hi", "--method", "ivt-lr", "--k-select", "x"), 2, "k-select")
        self.assert_fails(ask("-p", "hi", "--kernels", "abacus"), 2, "abacus", "reference")
        self.assert_fails(ask("-p", "hi", "--chat-template", "none"), 2, "none", "qwen2-vl")

    def test_image_sizes(self):
        for size in ("280", "0x280", "280x", "280x280x3", "axb"):
            self.assert_fails(run("run", "-m", make_model("model"), "-p", "hi", "--image-size", size), 2, "--image-size")
        self.assert_fails(ask("-p", "hi", "--image", PICTURE, "--image-size", "100x100"), 2, "image-size", "28")

    def test_something_behind_the_options(self):
        self.assert_fails(ask("-p", "hi", "there"), 2, "unexpected argument 'there'", "--image")
        self.assert_fails(ask("--jsonl", "requests.jsonl"), 2, "unexpected argument 'requests.jsonl'", "stdin")
        self.assert_fails(run("tokenize", "-m", make_model("model"), "text"), 2, "tenebra")

    def test_stop_texts(self):
        self.assert_fails(ask("-p", "hi", "--stop", ""), 2, "stop")


class Files(Case):
    def test_models(self):
        model = make_model("model")
        for directory in (WORK / "nowhere", PICTURE, DATA / "image"):
            for command in (("run", "-p", "hi"), ("inspect",), ("bench",)):
                self.assert_fails(run(*command, "-m", directory), 1, str(directory))
        self.assert_fails(run("eval", "-m", WORK / "nowhere", "-d", "hops:x"), 1, f"{WORK / 'nowhere'}: is not a model directory")
        self.assert_fails(run("eval", "-m", model, "-d", "hops:x"), 2, "requires methods")
        broken = WORK / "broken"
        for name, content, word in (("config.json", b"{", "config.json"), ("model.safetensors", b"12", "safetensors"),
                                    ("tokenizer.json", b"[]", "tokenizer.json"),
                                    ("preprocessor_config.json", b'{"patch_size": -1}', "preprocessor_config.json")):
            shutil.copytree(model, broken)
            (broken / name).write_bytes(content)
            self.assert_fails(ask("-p", "hi", model=broken), 1, word)
            shutil.rmtree(broken)
        shutil.copytree(model, broken)
        (broken / "tokenizer.json").unlink()
        for rest in broken.glob("*token*"):
            rest.unlink()
        self.assert_fails(ask("-p", "hi", model=broken), 1, "tokenizer")
        shutil.rmtree(broken)

    def test_directories_that_are_no_models(self):
        model, folder = make_model("model"), WORK / "adapter"
        folder.mkdir()
        self.assert_fails(ask("-p", "hi", model=folder), 1, str(folder), "is not a model directory: it has no config.json")
        (folder / "adapter_config.json").write_text("{}")
        self.assert_fails(ask("-p", "hi", model=folder), 1, str(folder), "is an adapter; --lora")
        done = ask("-p", "hi", "--lora", f"{folder}=half", model=model)
        self.assert_fails(done, 2, f"the strength 'half' of {folder}=half is not a number")
        self.assertNotIn("strength", ask("-p", "hi", "--lora", f"{folder}=0.5", model=model).stderr)
        self.assertIn("no such directory", ask("-p", "hi", "--lora", f"{folder}/x=half", model=model).stderr)
        shutil.rmtree(folder)

    def test_a_program_without_its_model(self):
        """A program that was copied away from its model says which model it misses."""
        alone = shutil.copy(PROGRAM, WORK / "alone")
        for command in (("run", "-p", "hi"), ("inspect",), ("tokenize", "-p", "hi"), ("bench",)):
            done = subprocess.run([alone, *command], capture_output=True, text=True, input="", env=environment(), check=False)
            self.assert_fails(done, 2, f"tenebra {command[0]}: requires a model directory (-m), because the default model is not beside")
        os.remove(alone)

    def test_pictures(self):
        cut = WORK / "cut.png"
        cut.write_bytes(Path(PICTURE).read_bytes()[:200])
        empty = WORK / "empty.jpg"
        empty.write_bytes(b"")
        for picture in (WORK / "none.jpg", DATA / "image", DATA / "image/pictures.csv", DATA / "image/animated.webp", cut,
                        empty):
            self.assert_fails(ask("-p", "hi", "--image", picture), 1, str(picture))

    def test_context(self):
        self.assert_fails(ask("-p", "hi", "--image", PICTURE, "-c", "10"), 1, "raise -c")
        self.assert_fails(ask("-p", "hi " * 100, "-c", "60"), 1, "raise -c")
        self.assert_fails(ask("-p", "hi", "-c", "1000000"), 1, "32768")
        self.assert_fails(ask("-p", "hi", "--image", PICTURE, "--method", "ivt-lr", "-c", "50"), 1, "raise -c")


class Tokenize(Case):
    def test_there_and_back(self):
        text = "Hello <|im_end|>, na\u00efve \U0001F600!"
        lines = "".join(json.dumps(line) + "\n" for line in ({"text": text}, {"ids": [0, 1, 2]}))
        done = run("tokenize", "-m", make_model("model"), "--jsonl", stdin=lines)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        ids = json.loads(done.stdout.splitlines()[0])["ids"]
        done = run("tokenize", "-m", make_model("model"), "--jsonl", stdin=json.dumps({"ids": ids}) + "\n")
        self.assertEqual(json.loads(done.stdout)["text"], text)

    def test_tokenizer_files_are_enough(self):
        done = run("tokenize", "-m", DATA / "tokenizer-small", "-p", "What is small?")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.strip())

    def test_bad_lines_are_answered_and_counted(self):
        done = run("tokenize", "-m", make_model("model"), "--jsonl", stdin='{"ids": [99999999]}\nnonsense\n{"text": "a"}\n')
        self.assertEqual(done.returncode, 1)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), 3)
        self.assertIn("error", answers[0])
        self.assertIn("error", answers[1])
        self.assertIn("ids", answers[2])


if __name__ == "__main__":
    main()
