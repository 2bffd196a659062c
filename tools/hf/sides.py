"""The two sides of a comparison: our program, and the real model of Hugging Face transformers."""
import json
import os
import subprocess
import tempfile

import torch
from PIL import Image
from qwen_vl_utils.vision_process import fetch_image, to_rgb
from safetensors.torch import load_file
from transformers import AutoTokenizer

from hf import versions
from hf.latent import think


class Program:
    """`tenebra run`, and the helper oracle_inputs (None if it was not built)."""

    def __init__(self, path, inputs, kernels=None):
        self.path, self.inputs_path = path, inputs
        self.environment = {**os.environ, **({"TENEBRA_KERNELS": kernels} if kernels else {})}

    def call(self, words, text=None):
        done = subprocess.run(words, capture_output=True, env=self.environment, check=False, timeout=600,
                              input=None if text is None else text.encode())
        if done.returncode != 0:
            raise RuntimeError(" ".join(words) + ": " + done.stderr.decode(errors="replace"))
        return done.stdout

    def ask(self, directory, turns, tokens, options=()):
        """The trace of an answer. Pictures keep the orientation of their pixels, as in the reference."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(turns, file)
            file.flush()
            words = [self.path, "run", "-m", directory, "--messages", file.name, "-n", str(tokens), "--json",
                     "--no-exif", *options]
            return json.loads(self.call(words))

    def ask_simply(self, directory, text, pictures, tokens, options=()):
        """The same through --image and -p."""
        words = [self.path, "run", "-m", directory, "-p", text, "-n", str(tokens), "--json", "--no-exif", *options]
        for picture in pictures:
            words += ["--image", picture]
        return json.loads(self.call(words))

    def inputs(self, directory, turns):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("messages.json", "inputs.safetensors")]
            with open(paths[0], "w", encoding="utf-8") as file:
                json.dump(turns, file)
            self.call([self.inputs_path, directory, *paths, "no-exif"])
            return load_file(paths[1])


class Reference:
    """Eager attention, float32 on the CPU (stored weights widened), the image processor that resizes with Pillow."""

    def __init__(self, directory):
        self.directory = directory
        self.model, report = versions.load(directory, output_loading_info=True)
        self.report = versions.loading_report(report)
        self.model.eval()
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.processor = versions.make_processor(directory, self.tokenizer)
        ends = self.model.generation_config.eos_token_id
        self.ends = ends if isinstance(ends, list) else [ends]

    def open_picture(self, path, utils):
        """As RGB over white. `utils`: resized by qwen_vl_utils, after which the processor leaves the size alone.
        It is the only way for a side below 28, which the processor refuses."""
        picture = Image.open(path)
        if picture.mode in ("LA", "PA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")  # to_rgb alone forgets their alpha
        picture = to_rgb(picture)
        if not utils and min(picture.size) >= 28:
            return picture
        least, most = versions.pixel_limits(self.processor.image_processor)
        return fetch_image({"image": picture, "min_pixels": least, "max_pixels": most})

    def inputs(self, turns, utils=False):
        """What the processor makes of the conversation: input_ids, pixel_values, image_grid_thw, ..."""
        text = self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        pictures = [self.open_picture(part["image"], utils) for turn in turns for part in turn["content"]
                    if part["type"] == "image"]
        return self.processor(text=[text], images=pictures or None, return_tensors="pt")

    def pieces(self, inputs):
        """How many embeddings each picture has."""
        return [int(t * h * w) // 4 for t, h, w in inputs.get("image_grid_thw", [])]

    @torch.no_grad()
    def embed(self, inputs):
        """Image embeddings [J, C], or None."""
        if "pixel_values" not in inputs:
            return None
        return versions.image_rows(self.model, inputs["pixel_values"], inputs["image_grid_thw"])

    def positions(self, inputs, kind="mrope"):
        """[3, P]."""
        ids = inputs["input_ids"]
        if kind == "sequential":
            return torch.arange(ids.shape[1]).expand(3, -1)
        return versions.rope_index(self.model, inputs)

    @torch.no_grad()
    def generate(self, inputs, tokens):
        """Tokens of generate() and, for each, the difference of the two best logits."""
        out = self.model.generate(**inputs, max_new_tokens=tokens, do_sample=False, return_dict_in_generate=True,
                                  output_logits=True, pad_token_id=self.ends[0])
        best = torch.stack([row[0].topk(2).values for row in out.logits])
        return out.sequences[0][inputs["input_ids"].shape[1]:].tolist(), (best[:, 0] - best[:, 1]).tolist()

    def rows(self, inputs):
        """The prompt's input rows [P, C], and which of them are image embeddings."""
        ids = inputs["input_ids"][0]
        rows = versions.decoder(self.model).embed_tokens(ids).detach().clone()
        image_rows = (ids == self.model.config.image_token_id).nonzero()[:, 0]
        embeds = self.embed(inputs)
        if embeds is not None:
            rows[image_rows] = embeds
        return rows, image_rows

    def think(self, inputs, settings, tokens, test_first=True):
        rows, image_rows = self.rows(inputs)
        return think(self.model, rows, self.positions(inputs, settings.positions), image_rows, settings, tokens,
                     self.ends, test_first)
