#!/usr/bin/env python3
"""Compares the program with Hugging Face transformers on random models, conversations and pictures.

    python3 tools/oracle.py --program build/release/tenebra --kernels avx2 [--seed N] [--cases N] [--only GROUP ...]

The reference is the real Qwen2VLForConditionalGeneration (eager attention, float32 on the CPU, stored weights
widened) with the image processor that resizes with Pillow and the tokenizer of the model directory; the latent methods
run on top of it in the plain implementation of tools/hf/latent.py. Groups:

    load      directories that `tenebra bench --shape` writes open there without missing or spare tensors
    inputs    token ids, M-RoPE positions, pixel values, image embeddings (needs the helper, see below)
    answers   greedy answers: text, one picture, several, several turns; prompt lengths
    names     the same model under new tensor names, and with a vocab_size that the tensors do not have
    latent    IVT-LR and Coconut: picks, scores, norms, lens, attention ratio and focus, answers
    adapters  what PEFT writes is read here, what is trained here is read by PEFT: answers and filled matrices
    chameleon the same answers, latent steps and ids of texts for Chameleon, and mistakes of its own
    controls  deliberate mistakes, each of which must be found

Needs, in a virtual environment: torch, torchvision, transformers, qwen-vl-utils, safetensors, accelerate, "pillow<12.2"
(13.0 resizes differently; 12.2 and 12.3 were compared with 12.0 on 150 sizes, and equal) and, for `adapters`, peft; for `inputs` also the helper
oracle_inputs, which is built with the tests. Ran with transformers 4.51.3 and peft 0.15.2, 4.57.6 and 0.18.0, 5.24.0 and 0.21.2; what they call
differently stands in tools/hf/versions.py. transformers 5 resizes with torchvision unless asked: the reference takes its
processor that uses Pillow, as 4.51 does. Take a kernel set that does not round activations (--kernels avx2).
With --golden DIR it writes golden cases there instead (tools/hf/golden.py). Exit code 1 if anything differs.
The same seed gives the same cases.
"""
import argparse
import functools
import os
import random
import subprocess
import sys
import tempfile
import warnings

import PIL
import torch
import transformers
from transformers.utils import logging

from hf import cases, golden, judge, models, versions
from hf.latent import Settings
from hf.sides import Program, Reference

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GROUPS = ("load", "inputs", "answers", "names", "latent", "adapters", "chameleon", "controls")
ANSWER = 24  # tokens of an answer


def guarded(compare):
    """A run of the program that fails is a failed case, not the end."""
    @functools.wraps(compare)
    def inner(self, verdict, *arguments):
        try:
            return compare(self, verdict, *arguments)
        except RuntimeError as error:
            verdict.failures.append(str(error))
            return False
    return inner


class Oracle:
    def __init__(self, arguments, folder):
        self.chance = random.Random(arguments.seed)
        self.seed, self.count, self.folder = arguments.seed, arguments.cases, folder
        self.tokenizer = arguments.tokenizer
        self.program = Program(arguments.program, arguments.inputs, arguments.kernels)
        self.pictures = cases.Pictures(os.path.join(folder, "pictures"), os.path.join(ROOT, "tests/data/image"),
                                       self.chance)
        self.references = {}

    def model(self, name):
        """A directory, made at its first use: a shape of models.SPECS, or bench-TYPE."""
        if name not in self.references:
            directory = os.path.join(self.folder, name)
            if name.startswith("bench-"):
                self.program.call([self.program.path, "bench", "--shape", "tiny", "-o", directory, "--tokenizer",
                                   self.tokenizer, "--type", name[6:], "--seed", str(self.seed + 11)])
            else:
                models.save_random(directory, models.SPECS[name], self.tokenizer, self.seed + len(self.references))
            self.references[name] = Reference(directory)
        return self.references[name]

    def names(self):
        return ["bench-F32", "bench-BF16", "bench-F16", *models.SPECS]

    # ----------------------------------------------------------- groups --

    def load(self, verdict):
        for name in ("bench-F32", "bench-BF16", "bench-F16"):
            verdict.cases += 1
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                report = self.model(name).report
            verdict.equal("loading report", report, {}, name)
            verdict.equal("warnings", [str(warning.message) for warning in seen], [], name)
            transformers.AutoProcessor.from_pretrained(self.model(name).directory)

    def inputs(self, verdict):
        if self.program.inputs_path is None:
            print("skipped: inputs (the helper oracle_inputs is not built)")
            return
        for name in self.names():
            for number in range(self.count):
                self.compare_inputs(verdict, self.model(name), self.conversation(number), f"{name} {number}")
        reference = self.model("gqa-untied")
        for path in self.pictures.stored:  # each kind of file
            turns = [cases.turn("user", cases.image(path), cases.text("?"))]
            self.compare_inputs(verdict, reference, turns, os.path.basename(path))

    @guarded
    def compare_inputs(self, verdict, reference, turns, where):
        ours, theirs = self.program.inputs(reference.directory, turns), reference.inputs(turns)
        verdict.cases += 1
        verdict.equal("input_ids", ours["input_ids"].tolist(), theirs["input_ids"][0].tolist(), where)
        verdict.equal("positions", ours["position_ids"].tolist(), reference.positions(theirs).tolist(), where)
        if "pixel_values" not in theirs:
            return
        verdict.equal("grid", ours["image_grid_thw"].tolist(), theirs["image_grid_thw"].tolist(), where)
        verdict.bound("pixel", distance(ours["pixel_values"], theirs["pixel_values"]), 0.0, where)
        again = reference.inputs(turns, utils=True)
        verdict.bound("pixel (utils)", distance(ours["pixel_values"], again["pixel_values"]), 0.0, where)
        embeds = reference.embed(theirs)
        largest = float(embeds.abs().max())
        verdict.bound("embedding", distance(ours["image_embeds"], embeds) / largest, judge.BOUND, where)

    def conversation(self, number):
        return cases.conversation(self.chance, self.pictures, ("text", "image", "images", "turns")[number % 4])

    def answers(self, verdict):
        for name in self.names():
            reference = self.model(name)
            for number in range(self.count):
                turns = self.conversation(number)
                self.compare_answers(verdict, reference, reference.directory, turns, f"{name} {number}")
            self.simple_answer(verdict, reference, name)

    @guarded
    def compare_answers(self, verdict, reference, directory, turns, where):
        inputs = reference.inputs(turns)
        theirs, gaps = reference.generate(inputs, ANSWER)
        ours = self.program.ask(directory, turns, ANSWER)
        verdict.cases += 1
        verdict.equal("prompt tokens", ours["counts"]["prompt"], inputs["input_ids"].shape[1], where)
        return judge.tokens(verdict, ours["tokens"], theirs, gaps, where)

    @guarded
    def simple_answer(self, verdict, reference, where):
        """Through --image and -p."""
        paths, words = [self.pictures.any() for _ in range(2)], "n" + cases.sentence(self.chance)
        inputs = reference.inputs([cases.turn("user", *map(cases.image, paths), cases.text(words))])
        ours = self.program.ask_simply(reference.directory, words, paths, ANSWER)
        verdict.cases += 1
        verdict.equal("prompt tokens", ours["counts"]["prompt"], inputs["input_ids"].shape[1], where)
        judge.tokens(verdict, ours["tokens"], *reference.generate(inputs, ANSWER), where)

    def names_group(self, verdict):
        for name in ("gqa-untied", "multi-query", "wide-heads-bf16"):
            reference = self.model(name)
            for number, copy in enumerate((models.copy_with_new_names, models.copy_with_config_rows)):
                directory = os.path.join(self.folder, f"{name}-copy{number}")
                copy(reference.directory, directory, *([1000] if number else []))
                for case in range(2):
                    turns = self.conversation(case)
                    self.compare_answers(verdict, reference, directory, turns, f"{name} {copy.__name__}")

    # ----------------------------------------------------------- latent --

    def settings(self, number, images):
        """Case 0: the published defaults; the others random, every tenth with interventions."""
        if number == 0:
            return Settings()
        pick = self.chance.choice
        settings = Settings(method="coconut" if number % 6 == 5 else "ivt-lr", n_latent=self.chance.randint(0, 5),
                            positions=pick(("sequential", "mrope")), hidden=pick(("normed", "raw")))
        if settings.method == "coconut":
            settings.k_select = 0
        else:
            settings.k_select = pick((1, 3, 8, 16, images // 2, images, images + 5))
            settings.order = pick(("vision-first", "text-first"))
            settings.pick_order, settings.exhausted = pick(("cuda", "desc", "asc")), pick(("take", "repick"))
            if number % 10 == 3:
                settings.latent_picks = pick(("lowest", "repeat", "none"))
        if number % 10 in (3, 5, 7):
            settings.latent_text = pick(("drop", "zero", "mean", "frozen"))
        return settings

    def latent(self, verdict):
        for name in self.names():
            for number in range(3 * self.count):
                kind = ("image", "image", "images", "turns", "text")[number % 5]
                turns = cases.conversation(self.chance, self.pictures, kind)
                self.compare_latent(verdict, self.model(name), turns, number, name)

    @guarded
    def compare_latent(self, verdict, reference, turns, number, name):
        inputs = reference.inputs(turns)
        images = int((inputs["input_ids"] == reference.model.config.image_token_id).sum())
        settings = self.settings(number, images)
        where = f"{name} {number} {' '.join(settings.options())}"
        theirs = reference.think(inputs, settings, ANSWER)
        ours = self.program.ask(reference.directory, turns, ANSWER, settings.options())
        compare_thought(verdict, ours, theirs, settings, inputs, where)

    # --------------------------------------------------------- adapters --

    def adapters(self, verdict):
        from hf import adapters
        for name in ("gqa-untied", "multi-query"):
            reference = self.model(name)
            tied = bool(reference.model.config.tie_word_embeddings)
            for number, (kind, settings) in enumerate(adapters.kinds(tied).items()):
                if adapters.supported(kind):
                    self.theirs_here(verdict, adapters, reference, kind, settings, number)
            self.ours_there(verdict, adapters, reference)

    @guarded
    def theirs_here(self, verdict, adapters, reference, kind, settings, number):
        where = f"{os.path.basename(reference.directory)} {kind}"
        directory = os.path.join(self.folder, where.replace(" ", "-"))
        adapters.write(directory, reference.directory, settings, self.seed + number)
        theirs, warned = adapters.read(reference, directory)
        verdict.equal("PEFT's warnings", warned, [], where)
        turns = self.conversation(1)
        self.compare_adapted(verdict, theirs, directory, turns, where)

    def compare_adapted(self, verdict, theirs, directory, turns, where):
        """A greedy answer and a latent one, whose numbers show more: without the adapter they must differ."""
        inputs, settings = theirs.inputs(turns), Settings(k_select=3, n_latent=2)
        ours = self.program.ask(theirs.directory, turns, ANSWER, ("--lora", directory))
        verdict.cases += 1
        judge.tokens(verdict, ours["tokens"], *theirs.generate(inputs, ANSWER), where)
        thought = theirs.think(inputs, settings, ANSWER)
        compare_thought(verdict, self.program.ask(theirs.directory, turns, ANSWER, (*settings.options(), "--lora", directory)),
                        thought, settings, inputs, where)
        bare = self.program.ask(theirs.directory, turns, ANSWER, settings.options())
        self.must_fail(verdict, where + ", left out", lambda inner: compare_thought(
            inner, bare, thought, settings, inputs, "left out"))

    @guarded
    def ours_there(self, verdict, adapters, reference):
        """Adapters under the names of the base model, and under those of the installed transformers, load whole; under the
        others they load nothing, unless the installed transformers translates them."""
        data = os.path.join(self.folder, "hops")
        if not os.path.exists(data):
            self.program.call([self.program.path, "data", "make", "--train", "8", "--dev", "1", "--test", "1", "hops", data])
        right, wrong = ("new", "old") if versions.NEW else ("old", "new")
        translates = bool(getattr(reference.model, "_checkpoint_conversion_mapping", None))
        cases = (("base", "q_proj,v_proj,down_proj,qkv"), (right, "all"), (right, "q_proj,lm_head"), (wrong, "q_proj,qkv"))
        for number, (names, targets) in enumerate(cases):
            where = f"{os.path.basename(reference.directory)} trained here, names {names}, {targets}"
            directory = adapters.train(self.program, reference.directory, data, f"{reference.directory}-ours-{number}",
                                       lora_names=names, lora_target=targets)
            theirs, warned = adapters.read(reference, directory)
            whole = names != wrong or translates
            verdict.equal("matrices that PEFT fills", adapters.filled(theirs), adapters.pairs(directory) if whole else 0, where)
            verdict.equal("PEFT's warnings", len(warned), 0 if whole else 1, where)
            if whole:
                self.compare_adapted(verdict, theirs, directory, self.conversation(1), where)

    # -------------------------------------------------------- chameleon --

    def chameleon(self, verdict):
        from hf import chameleon
        tokenizer = os.path.join(ROOT, "tests/data/tokenizer-chameleon")
        for place, (name, spec) in enumerate(chameleon.SPECS.items()):
            directory = os.path.join(self.folder, name)
            chameleon.save_random(directory, spec, tokenizer, self.seed + 100 + place)
            reference = chameleon.ChameleonReference(directory)
            verdict.equal("loading report", reference.report, {}, name)
            for number in range(self.count):
                kind = ("text", "image", "images", "turns")[number % 4]
                turns = [turn for turn in cases.conversation(self.chance, self.pictures, kind) if turn["role"] != "system"]
                self.compare_answers(verdict, reference, directory, turns, f"{name} {number}")
            for number in range(2 * self.count):
                kind = ("image", "image", "images", "turns", "text")[number % 5]
                turns = [turn for turn in cases.conversation(self.chance, self.pictures, kind) if turn["role"] != "system"]
                self.compare_fused(verdict, reference, turns, number, name)
        chameleon.same_ids(verdict, self.program, directory, reference.tokenizer, [cases.sentence(self.chance) for _ in range(200)])
        self.fused_controls(verdict, reference)

    @guarded
    def compare_fused(self, verdict, reference, turns, number, name):
        inputs = reference.inputs(turns)
        settings = self.settings(number, sum(reference.pieces(inputs)))
        where = f"{name} {number} {' '.join(settings.options())}"
        theirs = reference.think(inputs, settings, ANSWER)
        ours = self.program.ask(reference.directory, turns, ANSWER, settings.options())
        compare_thought(verdict, ours, theirs, settings, inputs, where, reference.pieces(inputs))

    def fused_controls(self, verdict, reference):
        """The separator before the latents, a picture's codes in another order, and codes that may be generated."""
        turns = [cases.turn("user", cases.image(self.pictures.make(150, 130)), cases.text("Which colour is it?"))]
        inputs, settings = reference.inputs(turns), Settings(k_select=4)
        ours = self.program.ask(reference.directory, turns, ANSWER, settings.options())
        pieces = reference.pieces(inputs)

        def against(inner, **how):
            compare_thought(inner, ours, reference.think(inputs, settings, ANSWER, **how), settings, inputs, "control", pieces)

        self.must_pass(verdict, "no mistake", against)
        self.must_fail(verdict, "separator before the latents", lambda inner: against(inner, tail=0))
        codes = reference.codes
        reference.codes = lambda inputs: codes(inputs).flip(0)
        self.must_fail(verdict, "codes in another order", against)
        reference.codes = codes
        mapping = reference.model.model.vocabulary_mapping
        kept, mapping.__dict__["image_tokens"] = mapping.image_tokens, []
        head = reference.model.lm_head.weight.data
        rows = head[kept].clone()
        head[kept] = 3 * rows
        self.must_fail(verdict, "codes may be generated", against)
        mapping.__dict__["image_tokens"] = kept
        self.must_pass(verdict, "heads of codes have no effect", against)
        head[kept] = rows

    # --------------------------------------------------------- controls --

    def controls(self, verdict):
        """Each mistake is made on the reference's side and must be seen."""
        reference = self.model("gqa-untied")
        turns = [cases.turn("user", cases.image(self.pictures.make(150, 130)), cases.text("Which colour is it?"))]
        inputs = reference.inputs(turns)
        right = Settings(k_select=4)
        ours = self.program.ask(reference.directory, turns, ANSWER, right.options())
        plain = self.program.ask(reference.directory, turns, ANSWER)
        wrong = {"pick order": {"pick_order": "desc"}, "order": {"order": "text-first"}, "hidden": {"hidden": "raw"},
                 "positions": {"positions": "mrope"}, "K": {"k_select": 5}, "N": {"n_latent": 2}}
        for name, change in wrong.items():
            settings = Settings(**{"k_select": 4, **change})
            self.must_fail(verdict, name, lambda inner, settings=settings: compare_thought(
                inner, ours, reference.think(inputs, settings, ANSWER), settings, inputs, name))
        with disturbed(versions.decoder(reference.model).layers[1].self_attn.k_proj.weight):
            self.must_fail(verdict, "a weight", lambda inner: compare_thought(
                inner, ours, reference.think(inputs, right, ANSWER), right, inputs, "weight"))
        with disturbed(inputs["pixel_values"]):
            if self.program.inputs_path is not None:
                seen = self.program.inputs(reference.directory, turns)
                self.must_fail(verdict, "a pixel", lambda inner: inner.bound(
                    "pixel", distance(seen["pixel_values"], inputs["pixel_values"]), 0.0, "pixel"))
        other = reference.inputs([cases.turn("user", *turns[0]["content"][:1], cases.text("Which colour is this?"))])
        self.must_fail(verdict, "a word", lambda inner: judge.tokens(
            inner, plain["tokens"], *reference.generate(other, ANSWER), "word"))
        self.must_fail(verdict, "NaN", lambda inner: inner.bound(
            "number", judge.relative([float("nan")], [1.0]), 1e9, "NaN"))
        self.must_pass(verdict, "no mistake", lambda inner: compare_thought(
            inner, ours, reference.think(reference.inputs(turns), right, ANSWER), right, inputs, "right"))

    def must_fail(self, verdict, name, compare):
        inner = judge.Verdict(name)
        compare(inner)
        verdict.cases += 1
        if not inner.failures:
            verdict.failures.append(f"the mistake '{name}' was not noticed")

    def must_pass(self, verdict, name, compare):
        inner = judge.Verdict(name)
        compare(inner)
        verdict.cases += 1
        verdict.failures += inner.failures


class disturbed:
    """Multiplies one entry of a tensor for the time of a with block: the largest, by 1.01."""

    def __init__(self, tensor):
        self.flat = tensor.data.view(-1)
        self.at = int(self.flat.abs().argmax())

    def __enter__(self):
        self.kept = float(self.flat[self.at])
        self.flat[self.at] = self.kept * 1.01

    def __exit__(self, *unused):
        self.flat[self.at] = self.kept


def distance(ours, theirs):
    """Largest absolute difference; infinite where shapes differ."""
    return float((ours - theirs).abs().max()) if ours.shape == theirs.shape else float("inf")


def compare_thought(verdict, ours, theirs, settings, inputs, where, cells=None):
    """A whole trace. `cells`: the number of embeddings of each picture."""
    verdict.cases += 1
    counts = ours["counts"]
    verdict.equal("prompt tokens", counts["prompt"], inputs["input_ids"].shape[1], where)
    verdict.equal("latent steps", counts["latent"], len(theirs.steps), where)
    verdict.equal("injected", counts["injected"], sum(len(step.picks) for step in theirs.steps), where)
    cells = [int(t * h * w) // 4 for t, h, w in inputs.get("image_grid_thw", [])] if cells is None else cells
    for number, (mine, step) in enumerate(zip(ours["steps"], theirs.steps)):
        for pick in mine["picks"]:
            pick["candidate"] = sum(cells[:pick["image"]]) + pick["index"]
        if not judge.step(verdict, mine, step, settings, f"{where} step {number + 1}"):
            return
    judge.tokens(verdict, ours["tokens"], theirs.tokens, theirs.gaps, where)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--program", default="build/release/tenebra")
    parser.add_argument("--inputs", help="the helper oracle_inputs (default: tests/oracle_inputs beside the program)")
    parser.add_argument("--tokenizer", default=os.path.join(ROOT, "tests/data/tokenizer-small"))
    parser.add_argument("--kernels", help="kernel set of the program (default: its own choice)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=8, help="conversations a model and group (8)")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--verbose", action="store_true", help="tell in which case each largest difference is")
    parser.add_argument("--golden", metavar="DIR", help="write golden cases there, compare nothing")
    arguments = parser.parse_args()
    if arguments.inputs is None:
        beside = os.path.join(os.path.dirname(os.path.abspath(arguments.program)), "tests", "oracle_inputs")
        arguments.inputs = beside if os.path.exists(beside) else None
    return arguments


def main():
    arguments = parse()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)  # rows this small gain nothing from more
    if arguments.golden:
        return golden.write_all(arguments.golden)
    version = subprocess.run([arguments.program, "--version"], capture_output=True, text=True, check=True).stdout
    print(f"{version.strip()}; transformers {transformers.__version__}, torch {torch.__version__}, "
          f"pillow {PIL.__version__}; seed {arguments.seed}, kernels {arguments.kernels or 'chosen by the program'}")
    if int(PIL.__version__.split(".", 1)[0]) >= 13:
        print("Pillow 13 resizes differently from earlier versions: pictures will differ")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "pictures"))
        oracle = Oracle(arguments, folder)
        for group in arguments.only:
            verdict = judge.Verdict(group)
            getattr(oracle, "names_group" if group == "names" else group)(verdict)
            print(verdict.summary(), flush=True)
            for what, (value, where) in verdict.largest.items() if arguments.verbose else ():
                print(f"    largest {what} {value:.2e}: {where}")
            for sentence in verdict.close_calls + verdict.failures:
                print("   ", sentence)
            failed |= bool(verdict.failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
