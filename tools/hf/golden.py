"""Golden cases in the layout of tests/data/golden, from Hugging Face's model and the loop of latent.py."""
import glob
import math
import os
import random

import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from transformers import Qwen2VLForConditionalGeneration, Qwen2VLImageProcessor

from hf import cases, judge, models
from hf.latent import Settings, forward, think

VOCABULARY = 150
SPECIAL = {"bos_token_id": 140, "eos_token_id": 141, "vision_start_token_id": 142, "vision_end_token_id": 143,
           "vision_token_id": 144, "image_token_id": 145, "video_token_id": 146}
LATENT = 147
ANSWER = 12

# Name: seed to begin with, height and width of the picture, K of the runs and the (K, N) that exhausts the
# picture, what differs from models.BASE. Sides are multiples of 28, so that nothing is resized.
SHAPES = {
    "other_shape": (2201, (56, 140), 3, (4, 3),
                    {"hidden_size": 48, "intermediate_size": 100, "num_hidden_layers": 2, "num_attention_heads": 6,
                     "num_key_value_heads": 1, "sections": [1, 2, 1], "dtype": "bfloat16", "rms_norm_eps": 1e-5,
                     "vision": {"depth": 2, "embed_dim": 16, "num_heads": 2, "mlp_ratio": 3}}),
    "tied_f16": (2301, (168, 140), 7, (11, 3),
                 {"hidden_size": 64, "intermediate_size": 140, "num_hidden_layers": 4, "num_attention_heads": 4,
                  "num_key_value_heads": 4, "sections": [4, 2, 2], "dtype": "float16", "tie_word_embeddings": True,
                  "vision": {"depth": 3, "embed_dim": 48, "num_heads": 4, "mlp_ratio": 2}}),
    "deep_sharded": (2401, (56, 252), 4, (7, 4),
                     {"hidden_size": 96, "num_hidden_layers": 8, "num_attention_heads": 12, "num_key_value_heads": 4,
                      "sections": [2, 1, 1], "rope_theta": 1e4, "shard": "300KB",
                      "vision": {"depth": 1, "embed_dim": 32, "num_heads": 1, "mlp_ratio": 4}}),
}


class Sample:
    """A question with a picture, four steps and an answer, in random tokens."""

    def __init__(self, chance, cells):
        self.prompt = [*self.words(chance, 4), SPECIAL["vision_start_token_id"], *[SPECIAL["image_token_id"]] * cells,
                       SPECIAL["vision_end_token_id"], *self.words(chance, 7)]
        self.steps = [self.words(chance, chance.randint(2, 4)) for _ in range(4)]
        self.answer = [*self.words(chance, 4), SPECIAL["eos_token_id"]]

    @staticmethod
    def words(chance, count):
        return [chance.randrange(SPECIAL["bos_token_id"]) for _ in range(count)]

    def rest(self, stage):
        return [token for step in self.steps[stage:] for token in step] + self.answer


class Case:
    def __init__(self, directory, seed, size):
        """The model is read back, so that its weights are the stored ones."""
        chance = random.Random(seed)
        self.model = Qwen2VLForConditionalGeneration.from_pretrained(directory, torch_dtype=torch.float32,
                                                                     attn_implementation="eager").eval()
        self.processor = Qwen2VLImageProcessor(min_pixels=784)
        self.picture = cases.scene(chance, size[1], size[0])
        self.more = [cases.scene(chance, 28, 28), cases.scene(chance, 28, 56)]
        self.sample = Sample(chance, size[0] * size[1] // 784)
        self.text = Sample.words(chance, 20)
        self.tensors, self.least = {}, {"token": math.inf, "pick": math.inf}

    def put(self, name, value, kind=torch.float32):
        self.tensors[name] = torch.as_tensor(value).detach().to(kind).clone().contiguous()

    def integers(self, name, value):
        self.put(name, value, torch.int64)

    def prepare(self, pictures):
        made = self.processor([Image.fromarray(picture) for picture in pictures], return_tensors="pt")
        return made["pixel_values"], made["image_grid_thw"]

    @torch.no_grad()
    def vision(self):
        pixels, grid = self.prepare([self.picture])
        self.put("image_u8", self.picture, torch.uint8)
        self.put("pixel_values", pixels)
        self.integers("image_grid_thw", grid)
        kept = lambda name: lambda module, inputs, output: self.put(name, output)
        tower = self.model.visual
        handles = [tower.patch_embed.register_forward_hook(kept("vision.patch_embed"))]
        handles += [block.register_forward_hook(kept(f"vision.block.{i}")) for i, block in enumerate(tower.blocks)]
        self.embeds = tower(pixels, grid_thw=grid)
        for handle in handles:
            handle.remove()
        self.put("vision.embeds", self.embeds)
        pixels, grids = self.prepare(self.more)
        self.put("multi.pixel_values", pixels)
        self.integers("multi.image_grid_thw", grids)
        self.put("multi.embeds", tower(pixels, grid_thw=grids))
        self.grid = grid

    def rows(self, ids):
        """Input rows of ids, the picture's in place."""
        ids = torch.tensor(ids)
        rows = self.model.model.embed_tokens(ids).detach().clone()
        rows[ids == SPECIAL["image_token_id"]] = self.embeds
        return rows

    @torch.no_grad()
    def plain(self):
        ids = self.sample.prompt + self.sample.rest(0)
        self.integers("plain.ids", ids)
        batch = torch.tensor([ids])
        positions, delta = self.model.get_rope_index(batch, self.grid, None, torch.ones_like(batch))
        self.integers("plain.mrope.position_ids", positions[:, 0])
        self.integers("plain.mrope.delta", delta.reshape(-1))
        for name, places in (("mrope", positions[:, 0]), ("arange", torch.arange(len(ids)).expand(3, -1))):
            out = self.model.model(inputs_embeds=self.rows(ids)[None], position_ids=places[:, None], use_cache=False,
                                   output_hidden_states=True)
            self.put(f"plain.{name}.logits_last24", self.model.lm_head(out.last_hidden_state[0, -24:]))
            if name == "mrope":
                self.put("plain.mrope.hidden_last", out.last_hidden_state[0])
                continue
            for layer, hidden in enumerate(out.hidden_states):
                self.put(f"plain.arange.hidden.{layer}", hidden[0])
        self.integers("textonly.ids", self.text)
        self.put("textonly.last_logits", self.model(input_ids=torch.tensor([self.text])).logits[0, -1])

    def latent(self, picks, steps, order, details=False):
        sample, prefix = self.sample, f"ivtlr.K{picks}.N{steps}.{order}"
        self.integers(f"ids.N{steps}.gen", sample.prompt + [LATENT] * steps)
        rest = sample.rest(steps)
        self.integers(f"ids.N{steps}.train", sample.prompt + [LATENT] * steps + rest)
        self.integers(f"ids.N{steps}.labels", [-100] * (len(sample.prompt) + steps) + rest)
        settings = Settings(n_latent=steps, k_select=picks, pick_order=order, exhausted="repick")
        thought = self.think(settings, [SPECIAL["eos_token_id"]])
        self.integers(f"{prefix}.generated", thought.tokens)
        self.put(f"{prefix}.gen_first_logits", thought.first_logits)
        if steps:
            first = len(sample.prompt) - 8 - len(self.embeds)  # 7 words and vision_end follow the picture
            self.integers(f"{prefix}.selected", [[first + j for j in step.picks] for step in thought.steps])
            self.put(f"{prefix}.scores", torch.stack([self.scores(step) for step in thought.steps]))
            self.put(f"{prefix}.latent_hidden", torch.stack([step.fed for step in thought.steps]))
        self.training(prefix, thought, rest, details)

    @staticmethod
    def scores(step):
        scores = step.scores.clone()
        scores[sorted(step.used)] = -math.inf
        return scores

    def think(self, settings, ends):
        rows = self.rows(self.sample.prompt)
        image_rows = (torch.tensor(self.sample.prompt) == SPECIAL["image_token_id"]).nonzero()[:, 0]
        thought = think(self.model, rows, torch.arange(len(rows)).expand(3, -1), image_rows, settings, ANSWER, ends,
                        test_first=False)
        self.least["token"] = min([self.least["token"], *thought.gaps])
        gaps = [judge.nearest(step.scores, step.used, Settings(k_select=settings.k_select, pick_order="desc"))
                for step in thought.steps]
        self.least["pick"] = min([self.least["pick"], *gaps])
        return thought

    @torch.no_grad()
    def training(self, prefix, thought, rest, details):
        """The text after the latents, at the positions that follow; loss over all of it."""
        embeds = torch.cat([thought.embeds, self.model.model.embed_tokens(torch.tensor(rest))])
        normed, _, _ = forward(self.model, embeds, torch.arange(len(embeds)).expand(3, -1))
        logits = self.model.lm_head(normed)
        predicting = logits[-len(rest) - 1:-1]
        self.put(f"{prefix}.loss", [torch.nn.functional.cross_entropy(predicting, torch.tensor(rest))])
        self.put(f"{prefix}.train_last_logits", logits[-1])
        if details:
            self.put(f"{prefix}.label_logits", predicting)
            self.put(f"{prefix}.final_inputs_embeds", embeds)

    def ends(self, picks):
        """The same answer with an end token that it would give first, and one that it gives later."""
        settings = Settings(n_latent=2, k_select=picks, exhausted="repick")
        tokens = self.think(settings, []).tokens
        later = next((token for token in tokens[2:] if token != tokens[0]), None)
        if later is None:  # an answer of one token says little: another seed
            self.least["token"] = 0.0
            return
        for name, end in (("first", tokens[0]), ("later", later)):
            self.integers(f"eos.{name}.eos_id", [end])
            self.integers(f"eos.{name}.generated", self.think(settings, [end]).tokens)

    def fill(self, picks, exhausting):
        self.integers("prompt_ids", self.sample.prompt)
        self.integers("latent_token_id", [LATENT])
        self.integers("eos_token_id", [SPECIAL["eos_token_id"]])
        self.vision()
        self.plain()
        self.latent(picks, 0, "any")
        for steps in (1, 2, 3):
            for order in ("cuda", "desc", "asc"):
                self.latent(picks, steps, order, details=steps == 2 and order == "cuda")
        for order in ("cuda", "desc", "asc"):
            self.latent(*exhausting, order)
        self.ends(picks)
        return self


def save_model(directory, spec, seed):
    spec = {**models.BASE, **spec}
    model = Qwen2VLForConditionalGeneration(models.make_config(spec, VOCABULARY, SPECIAL))
    models.fill(model, seed)
    model.to(getattr(torch, spec["dtype"])).save_pretrained(directory, max_shard_size=spec["shard"])
    generation = os.path.join(directory, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)


README = """# {name}: golden vectors, Qwen2-VL + IVT-LR, {dtype} weights

Made by `python3 tools/oracle.py --golden DIR` (tools/hf/golden.py): the network is Hugging Face transformers
{version} `Qwen2VLForConditionalGeneration` (eager attention, float32, stored weights widened, CPU PyTorch {torch}),
the latent loop is the plain Python one of tools/hf/latent.py, which runs all rows again at every step. Neither is
this project's engine. Random weights, seed {seed}.

Names are those of `../qwen2vl_untied`, with these left out: `*_calls` and `native` (they belong to the authors'
code), `batch2.*`, LoRA. `label_logits` and `final_inputs_embeds` stand for K={picks}, N=2, `cuda` alone. {cells} image
tokens; K={big} with N={steps} asks for more than there are, so used ones are picked again, lowest index first.

Tolerance: 1e-4 absolute or relative for float outputs; integers exact. The smallest gap that decides a choice
here: {pick:.1e} relative between two scores, {token:.1e} logit units between two tokens.
"""


def write_case(folder, name, tokens_gap=5e-3, picks_gap=1e-3):
    """Tries seeds until no choice of the case is so close that rounding could decide it."""
    seed, size, picks, exhausting, spec = SHAPES[name]
    directory = os.path.join(folder, name)
    while True:
        model = os.path.join(directory, "model")
        save_model(model, spec, seed)
        case = Case(model, seed, size).fill(picks, exhausting)
        if case.least["token"] > tokens_gap and case.least["pick"] > picks_gap:
            break
        seed += 1
    save_file(case.tensors, os.path.join(directory, "case.safetensors"), metadata={"format": "pt"})
    words = {"name": name, "dtype": {**models.BASE, **spec}["dtype"], "version": transformers.__version__,
             "torch": torch.__version__, "seed": seed, "picks": picks, "cells": len(case.embeds), "big": exhausting[0],
             "steps": exhausting[1], **case.least}
    with open(os.path.join(directory, "README.md"), "w", encoding="utf-8") as file:
        file.write(README.format(**words))
    for path in (os.path.join(directory, "case.safetensors"), *glob.glob(os.path.join(model, "*.safetensors"))):
        os.chmod(path, 0o644)
    print(f"{directory}: seed {seed}, {len(case.tensors)} tensors")


def write_all(folder):
    for name in SHAPES:
        write_case(folder, name)
    return 0
