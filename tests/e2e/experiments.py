"""The scripts of experiments/, run to the end with a program in the way that plans each training instead of doing it: recipes have
keys that exist, runs build on runs that are there, questions are asked of models and sets that are there.

    experiments.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import DATA, HANG, PICTURE, PROGRAM, WORK, Case, environment, main  # noqa: E402

SCRIPTS = DATA.parent.parent / "experiments"
DEFAULT = os.path.join(os.path.dirname(os.path.abspath(PROGRAM)), "share/tenebra/models/default")

# Makes small sets, plans, leaves the default model where a run would leave its own, and an empty file where answers would be.
STAND_IN = f"""#!{sys.executable}
import os, pathlib, shutil, subprocess, sys
words = sys.argv[1:]
def of(name):
    return words[words.index(name) + 1]
if words[0] == "train":
    done = subprocess.run([{PROGRAM!r}, *words, "--set", "batch_size=2", "--plan", "--json"], stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    os.makedirs(of("-o"), exist_ok=True)
    shutil.copytree({DEFAULT!r}, of("-o") + "/model")
    pathlib.Path(of("-o") + "/plan.json").write_bytes(done.stdout)
elif words[0] == "eval":
    assert words[1] == "table" or (os.path.isdir(of("-m")) and os.path.isdir((words[words.index("-d") + 1] if "-d" in words
                                                                              else of("--data")).split(":")[1])), words
    if words[1] == "table":
        assert all(os.path.exists(file) for group in words[5::2] for file in group.split("=")[1].split(",")), words
    else:
        open(of("-o"), "w").close()
else:
    if words[:2] == ["data", "make"]:
        for name in ("--train", "--dev", "--test"):
            if name in words:
                words[words.index(name) + 1] = str(min(40, int(of(name))))
    sys.exit(subprocess.run([{PROGRAM!r}, *words], stdout=subprocess.DEVNULL).returncode)
"""


def script(name, *arguments, scripts=SCRIPTS):
    program = WORK / "stand-in"
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(0o755)
    first, *rest = arguments
    return subprocess.run(["bash", scripts / name, program, first, *rest], capture_output=True, text=True, timeout=HANG,
                          env=environment(), check=False)


def plan(run):
    return json.loads((run / "plan.json").read_text(encoding="utf-8"))


class Experiments(Case):
    def test_the_default_model(self):
        place = WORK / "default"
        done = script("default.sh", place)
        self.assertEqual(done.returncode, 0, done.stderr)
        for run in ("see", "own", "hint", "tower", "pairs", "wear", "follow", "speak", "think", "settle"):
            self.assertGreater(plan(place / run)["updates"], 0, run)
        self.assertIn("words", json.loads((place / "settle/model/scope.json").read_text(encoding="utf-8")))

    def test_chains_and_the_tables(self):
        place = WORK / "chains"
        done = script("chains.sh", place)
        self.assertEqual(done.returncode, 0, done.stderr)
        for run in ("see", "own", "hint", "tower", "pairs", "follow", "think", "settle"):
            self.assertGreater(plan(place / run)["updates"], 0, run)
        done = script("results.sh", place, "3")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(list((place / "results").glob("*-3.done"))), 17)  # the rows, and the interventions
        self.assertEqual(len(list((place / "results").glob("*/plan.json"))), 16)
        self.assertEqual(plan(place / "results/stages2-3")["stages"][-1]["latents"], 2)
        again = script("results.sh", place, "3", "cot ivt-lr")
        self.assertEqual(again.returncode, 0, again.stderr)  # a run made again would find its model in the way
        self.assertEqual(script("results.sh", place, "3", "cot ivt").returncode, 2)

    def test_easy_vqa(self):
        data = WORK / "easy-vqa"
        for split in ("train", "test"):
            os.makedirs(data / split / "images", exist_ok=True)
            shutil.copy(PICTURE, data / split / "images/0.png")
            rows = [["what shape is in the image?", "circle", 0], ["what color is the shape?", "red", 0],
                    ["is there a circle?", "yes", 0], ["is there a red shape?", "yes", 0]]
            # Of the training split, questions about image 50 are held out for validation.
            shutil.copy(PICTURE, data / split / "images/50.png")
            held = [[question, answer, 50] for question, answer, _ in rows]
            (data / split / "questions.json").write_text(json.dumps(rows * 20 + held), encoding="utf-8")
        done = script("easy_vqa.sh", data, WORK / "easy")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([plan(WORK / "easy" / run)["samples"] for run in ("shapes", "names", "all")], [20, 60, 80])

    def test_a_wrong_key_is_noticed(self):
        scripts = WORK / "scripts"
        shutil.copytree(SCRIPTS, scripts)
        recipe = scripts / "default/see.yaml"
        recipe.write_text(recipe.read_text(encoding="utf-8").replace("weight_decay", "weight_decoy"), encoding="utf-8")
        done = script("default.sh", WORK / "wrong", scripts=scripts)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("weight_decoy", done.stderr)


if __name__ == "__main__":
    main()
