"""Greedy and seeded answers of a fixed random model, token by token, for all methods, against a file.

    golden.py PROGRAM DATA [TEST ...]
    golden.py PROGRAM DATA --write        makes DATA/e2e/answers.json anew

The file holds what the reference kernels said when it was written; whether that was right is the matter of the golden
sets and unit tests. Here it is a tripwire: whoever changes any of these tokens must know why. Make it anew only then, and
look at the difference.
"""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import DATA, OTHER_PICTURE, PICTURE, Case, ask_json, main, make_model  # noqa: E402

ANSWERS = DATA / "e2e" / "answers.json"
COMMON = ("-p", "What is small and green?", "-n", "12", "--kernels", "reference")
ONE, TWO = ("--image", PICTURE), ("--image", PICTURE, "--image", OTHER_PICTURE)
LATENT = ("--method", "ivt-lr", "--k-select", "4")
CASES = {
    "direct": ONE,
    "direct, no picture": (),
    "direct, sequential": (*ONE, "--positions", "sequential"),
    "direct, system": (*TWO, "--system", "Be brief."),
    "direct, sampled": (*ONE, "--temp", "1.2", "--top-k", "40", "--top-p", "0.9", "--seed", "5"),
    "cot": (*ONE, "--method", "cot"),
    "cot, no cue": (*ONE, "--method", "cot", "--cue", ""),
    "coconut": (*ONE, "--method", "coconut"),
    "coconut, raw": (*ONE, "--method", "coconut", "--hidden", "raw", "--n-latent", "2"),
    "ivt-lr": (*ONE, *LATENT),
    "ivt-lr, two pictures": (*TWO, *LATENT),
    "ivt-lr, no picture": LATENT,
    "ivt-lr, text first": (*ONE, *LATENT, "--order", "text-first"),
    "ivt-lr, mrope": (*ONE, *LATENT, "--positions", "mrope"),
    "ivt-lr, recomputed": (*ONE, *LATENT, "--recompute"),
    "ivt-lr, desc": (*ONE, *LATENT, "--pick-order", "desc"),
    "ivt-lr, asc": (*ONE, *LATENT, "--pick-order", "asc"),
    "ivt-lr, exhausted": (*ONE, *LATENT, "--k-select", "7", "--exhausted", "repick"),
    "ivt-lr, noise": (*ONE, *LATENT, "--latent-text", "noise", "--seed", "3"),
    "ivt-lr, mean": (*ONE, *LATENT, "--latent-text", "mean"),
    "ivt-lr, frozen": (*ONE, *LATENT, "--latent-text", "frozen"),
    "ivt-lr, zero": (*ONE, *LATENT, "--latent-text", "zero"),
    "ivt-lr, drop": (*ONE, *LATENT, "--latent-text", "drop"),
    "ivt-lr, random": (*ONE, *LATENT, "--latent-picks", "random", "--seed", "3"),
    "ivt-lr, lowest": (*ONE, *LATENT, "--latent-picks", "lowest"),
    "ivt-lr, repeat": (*ONE, *LATENT, "--latent-picks", "repeat"),
    "ivt-lr, none": (*ONE, *LATENT, "--latent-picks", "none"),
}


def answer(arguments, model=None):
    """Tokens, and the picks of every step as [image, index]."""
    trace = ask_json(*COMMON, *arguments, model=model)
    return {"tokens": trace["tokens"],
            "picks": [[[pick["image"], pick["index"]] for pick in step["picks"]] for step in trace["steps"]]}


class Golden(Case):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.expected = json.loads(ANSWERS.read_text(encoding="utf-8"))

    def test_every_case(self):
        self.assertEqual(list(self.expected), list(CASES))
        for name, arguments in CASES.items():
            with self.subTest(name):
                self.assertEqual(answer(arguments), self.expected[name])

    def test_threads_do_not_matter(self):
        for name in ("ivt-lr, two pictures", "direct, sampled"):
            self.assertEqual(answer((*CASES[name], "-t", "4")), self.expected[name])

    def test_another_model_answers_otherwise(self):
        """Negative control: with other weights hardly a case may pass."""
        model = make_model("other", seed=8)
        passing = [name for name, arguments in CASES.items() if answer(arguments, model) == self.expected[name]]
        self.assertEqual(passing, [])

    def test_the_cases_differ(self):
        """Negative control: an option that has no effect would give the answer of the plain case."""
        same = {"ivt-lr, recomputed"}  # which must give it
        for name in CASES:
            if name.startswith("ivt-lr, "):
                self.assertEqual(self.expected[name] == self.expected["ivt-lr"], name in same, name)


def write():
    lines = [f"{json.dumps(name)}: {json.dumps(answer(arguments))}" for name, arguments in CASES.items()]
    ANSWERS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[3:] == ["--write"]:
        write()
    else:
        main()
