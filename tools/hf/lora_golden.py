#!/usr/bin/env python3
"""Training steps of an adapter for a golden case, from Hugging Face's model, the real PEFT and torch's AdamW.

    python3 lora_golden.py CASE        CASE: a directory with model/ and case.safetensors; run in tools/

Writes CASE/adapter (by PEFT's save_pretrained) and CASE/lora.safetensors. The adapter is on every linear layer but
the head, the vision tower included, with ranks and alphas that differ by module and the scale of rslora. Latents are
those of latent.py, entered as constants. Needs peft beside what tools/oracle.py needs."""
import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import Qwen2VLForConditionalGeneration

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from hf.latent import Settings, think  # noqa: E402

PICKS = 3


def name_of(parameter):
    return parameter.removeprefix("base_model.model.").replace(".default.weight", ".weight")


class Course:
    def __init__(self, folder):
        self.folder, self.case = folder, load_file(folder / "case.safetensors")
        torch.manual_seed(5)
        base = Qwen2VLForConditionalGeneration.from_pretrained(folder / "model", torch_dtype=torch.float32,
                                                               attn_implementation="eager").eval()
        config = LoraConfig(r=3, lora_alpha=7, use_rslora=True, target_modules="all-linear", bias="none",
                            rank_pattern={"down_proj": 5, "attn.qkv": 2}, alpha_pattern={"q_proj": 2.5})
        self.peft = get_peft_model(base, config).eval()
        self.model = self.peft.base_model.model
        self.trained = {name_of(name): p for name, p in self.peft.named_parameters() if p.requires_grad}
        with torch.no_grad():
            for name, p in self.trained.items():
                if "lora_B" in name:
                    p.normal_(0, 0.1)
        self.start = {name: p.detach().clone() for name, p in self.trained.items()}
        self.peft.save_pretrained(folder / "adapter")
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        path = folder / "adapter" / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": None}, indent=2, sort_keys=True))
        self.out = {}

    def loss(self, stage, prefix=None):
        case = self.case
        ids, labels = case[f"ids.N{stage}.train"], case[f"ids.N{stage}.labels"]
        prompt = case["prompt_ids"]
        image_rows = [i for i, token in enumerate(prompt.tolist()) if token == self.model.config.image_token_id]
        embeds = self.model.visual(case["pixel_values"], grid_thw=case["image_grid_thw"])
        rows = self.model.model.embed_tokens(prompt).clone()
        rows[image_rows] = embeds
        positions = torch.arange(len(prompt)).expand(3, -1)
        thought = think(self.model, rows.detach(), positions, image_rows,
                        Settings(n_latent=stage, k_select=PICKS, exhausted="repick"), 1, [])
        rest = self.model.model.embed_tokens(ids[len(prompt) + stage:])
        whole = torch.cat([rows, thought.embeds[len(prompt):], rest])
        places = torch.arange(len(whole)).expand(3, 1, -1)
        logits = self.model(inputs_embeds=whole[None], position_ids=places).logits[0]
        targets = torch.cat([torch.full((len(whole) - len(rest),), -100), labels[len(prompt) + stage:]])
        if prefix:
            self.out[f"{prefix}.ids"], self.out[f"{prefix}.labels"] = ids, labels
            self.out[f"{prefix}.last_logits"] = logits[-1]
            if stage:
                self.out[f"{prefix}.selected"] = torch.tensor([[image_rows[j] for j in s.picks] for s in thought.steps])
        return torch.nn.functional.cross_entropy(logits[:-1], targets[1:])

    def step(self, optimizer, stage, prefix, details):
        optimizer.zero_grad()
        loss = self.loss(stage, prefix if details else None)
        loss.backward()
        self.out[f"{prefix}.loss"] = loss.reshape(1)
        if details:
            for name, p in self.trained.items():
                self.out[f"{prefix}.grad.{name}"] = p.grad
        self.out = {name: value.detach().clone().contiguous() for name, value in self.out.items()}
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), 0.7)
        self.out[f"{prefix}.grad_norm"] = norm.reshape(1)
        optimizer.step()

    def fresh(self):
        with torch.no_grad():
            for name, p in self.trained.items():
                p.copy_(self.start[name])
        return torch.optim.AdamW(self.trained.values(), lr=4e-5, weight_decay=0.01)

    def keep(self, prefix):
        for name, p in self.trained.items():
            self.out[f"{prefix}.after.{name}"] = p.detach().clone()


def main():
    course = Course(Path(sys.argv[1]))
    for stage in (0, 2):
        course.step(course.fresh(), stage, f"stage{stage}", True)
        course.keep(f"stage{stage}")
    optimizer = course.fresh()
    for number, stage in enumerate((0, 2)):
        course.step(optimizer, stage, f"seq.{number}", False)
    course.keep("seq.1")
    save_file(course.out, str(course.folder / "lora.safetensors"))
    for file in (course.folder / "lora.safetensors", *(course.folder / "adapter").iterdir()):
        file.chmod(0o644)


if __name__ == "__main__":
    main()
