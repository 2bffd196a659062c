"""Chameleon: random directories, and the real ChameleonForConditionalGeneration of transformers as the reference."""
import json
import os
import shutil

import torch
from PIL import Image
from transformers import AutoTokenizer, ChameleonConfig, ChameleonForConditionalGeneration, ChameleonProcessor

from hf import versions
from hf.latent import think

try:  # transformers 5: the class of the old name resizes with torchvision
    from transformers import ChameleonImageProcessorPil as ImageProcessor
except ImportError:
    from transformers import ChameleonImageProcessor as ImageProcessor

BASE = {"hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
        "swin_norm": False, "side": 32, "dtype": "float32"}
VQ = {"base_channels": 32, "channel_multiplier": [1, 2, 1], "num_res_blocks": 1, "embed_dim": 12, "latent_channels": 16,
      "num_embeddings": 64, "resolution": 32}
SPECS = {
    "chameleon-norm-before": {},
    "chameleon-norm-after": {"swin_norm": True, "num_key_value_heads": 1, "num_hidden_layers": 3, "hidden_size": 96, "num_attention_heads": 3},
    "chameleon-bf16": {"dtype": "bfloat16", "num_key_value_heads": 2, "side": 64,
                       "vq": {"channel_multiplier": [1, 1, 2, 2], "num_res_blocks": 2, "resolution": 64}},
}


@torch.no_grad()
def fill(model, seed):
    """As models.fill; the scales of norms per head are matrices here, and entries of the codebook are as far apart as what they
    stand for."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if "norm" in name:
            tensor.copy_(0.2 * noise if name.endswith("bias") else 1 + 0.1 * noise)
        elif "embed_tokens" in name or "quantize.embedding" in name:
            tensor.copy_(noise)
        elif tensor.dim() >= 2:
            gain = 1.6 if "q_proj" in name or "k_proj" in name else 3.0 if "lm_head" in name else 1.4 if tensor.dim() == 4 else 1.0
            tensor.copy_(noise * gain / (tensor[0].numel() ** 0.5))
        else:
            tensor.copy_(0.2 * noise)


def save_random(directory, spec, tokenizer, seed):
    """Writes the directory; the vocabulary map is that of the tokenizer."""
    spec = {**BASE, **spec}
    vq = {**VQ, **spec.get("vq", {})}
    tokens = AutoTokenizer.from_pretrained(tokenizer)
    with open(os.path.join(tokenizer, "tokenizer.json"), encoding="utf-8") as file:
        vocabulary = json.load(file)["model"]["vocab"]
    plain = {key: value for key, value in spec.items() if key not in ("side", "dtype", "vq")}
    config = ChameleonConfig(vocab_size=len(tokens) + 11, vocabulary_map=vocabulary, vq_config=vq, bos_token_id=0, eos_token_id=2,
                             pad_token_id=1, **plain)
    torch.manual_seed(seed)
    model = ChameleonForConditionalGeneration(config)
    fill(model, seed)
    model.to(getattr(torch, spec["dtype"])).save_pretrained(directory)
    side, length = spec["side"], (spec["side"] >> (len(vq["channel_multiplier"]) - 1)) ** 2
    images = ImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    ChameleonProcessor(images, tokens, image_seq_length=length).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(tokenizer, name), directory)
    return directory


class ChameleonReference:
    """The interface of sides.Reference."""

    def __init__(self, directory):
        self.directory = directory
        name = "dtype" if versions.VERSION >= (5, 0) else "torch_dtype"
        self.model, report = ChameleonForConditionalGeneration.from_pretrained(
            directory, attn_implementation="eager", output_loading_info=True, **{name: torch.float32})
        self.report = versions.loading_report(report)
        self.model.eval()
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        stored = ChameleonProcessor.from_pretrained(directory)
        self.processor = ChameleonProcessor(ImageProcessor.from_pretrained(directory), self.tokenizer,
                                            image_seq_length=stored.image_seq_length)
        self.ends = [self.model.config.eos_token_id]

    def text(self, turns):
        """Every turn ends with the separator; the processor appends that of the last one."""
        parts = ["".join("<image>" if part["type"] == "image" else part["text"] for part in turn["content"]) for turn in turns]
        return self.tokenizer.sep_token.join(parts)

    def inputs(self, turns):
        pictures = [Image.open(part["image"]) for turn in turns for part in turn["content"] if part["type"] == "image"]
        return self.processor(text=self.text(turns), images=pictures or None, return_tensors="pt")

    def pieces(self, inputs):
        """How many codes each picture has."""
        return [self.processor.image_seq_length] * len(inputs.get("pixel_values", ()))

    def positions(self, inputs, kind="sequential"):
        del kind  # there is one kind
        return torch.arange(inputs["input_ids"].shape[1]).expand(3, -1)

    @torch.no_grad()
    def generate(self, inputs, tokens):
        out = self.model.generate(**inputs, max_new_tokens=tokens, do_sample=False, return_dict_in_generate=True, output_logits=True,
                                  pad_token_id=self.ends[0])
        best = torch.stack([row[0].topk(2).values for row in out.logits])
        return out.sequences[0][inputs["input_ids"].shape[1]:].tolist(), (best[:, 0] - best[:, 1]).tolist()

    @torch.no_grad()
    def codes(self, inputs):
        """Ids of the pictures' codes, all pictures in a row."""
        return self.model.model.get_image_tokens(inputs["pixel_values"]).reshape(-1)

    @torch.no_grad()
    def think(self, inputs, settings, tokens, test_first=True, tail=1):
        """The last `tail` tokens of the prompt, the separator, come after the latents: the authors append latents to the text
        before the processor appends the separator."""
        ids = inputs["input_ids"][0].clone()
        image_rows = (ids == self.processor.image_token_id).nonzero()[:, 0]
        if len(image_rows):
            ids[image_rows] = self.codes(inputs).to(ids.dtype)
        rows, count = versions.decoder(self.model).embed_tokens(ids).detach().clone(), len(ids) - tail
        return think(self.model, rows[:count], self.positions(inputs)[:, :count], image_rows, settings, tokens, self.ends, test_first,
                     rows[count:])


def same_ids(verdict, program, directory, tokenizer, texts):
    """`tenebra tokenize --jsonl` against the tokenizer, and that transformers reads tokenizer.json as it is."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    ours = [json.loads(line)["ids"] for line in program.call([program.path, "tokenize", "-m", directory, "--jsonl"], lines).splitlines()]
    verdict.cases += len(texts)
    for text, ids in zip(texts, ours):
        verdict.equal("ids", ids, tokenizer(text, add_special_tokens=False)["input_ids"], ascii(text)[:60])

